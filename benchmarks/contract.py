"""How many codes of real speech change with batch, piece length or number of threads.

    python benchmarks/contract.py DATA [--model MODEL] [--minutes 60]

The token contract says none; float32 rounding can decide a near tie otherwise, and then the later
levels of that frame follow. Prints, for each way of computing, the codes that differ from those of
each file by itself, and the largest difference of decoded samples.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import vqaudio
from vqaudio import audio
from vqaudio.checkpoint import find_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of sound files")
    parser.add_argument("--model", help="model file or name")
    parser.add_argument("--minutes", type=float, default=60.0, help="of sound, at the most")
    arguments = parser.parse_args()

    model, cpu = find_model(arguments.model), torch.device("cpu")
    usual = vqaudio.Tokenizer(model, device=cpu)
    sounds, seconds = [], 0.0
    for file in audio.find_audio(arguments.data):
        sounds.append(audio.read(file, sample_rate=usual.sample_rate).waveform)
        seconds += sounds[-1].shape[1] / usual.sample_rate
        if seconds > 60 * arguments.minutes:
            break
    alone = [usual.encode(sound) for sound in sounds]
    decoded = [usual.decode(tokens) for tokens in alone]
    total = sum(tokens.codes.size for tokens in alone)
    print(f"{len(sounds)} files, {seconds / 60:.0f} minutes, {total} codes\n")
    print("| computed | codes that differ | largest sample difference |\n|---|---|---|")

    batched = vqaudio.Tokenizer(model, device=cpu, pieces_at_once=7)
    short = vqaudio.Tokenizer(model, device=cpu)
    short.piece_frames = 37
    threads = torch.get_num_threads()
    for name, tokenizer, count in (
        ("7 pieces at once", batched, threads),
        ("in pieces of 37 frames", short, threads),
        ("with 1 thread", usual, 1),
    ):
        torch.set_num_threads(count)
        codes = tokenizer.encode_batch(sounds)
        differing = sum(int((a.codes != b.codes).sum()) for a, b in zip(alone, codes, strict=True))
        samples = max(
            float((tokenizer.decode(tokens) - waveform).abs().max())
            for tokens, waveform in zip(alone, decoded, strict=True)
        )
        print(f"| {name} | {differing} | {samples:.1e} |")


if __name__ == "__main__":
    main()
