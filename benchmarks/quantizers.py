"""The like-for-like table of quantizers: runs of recipes/quantizers/, on speakers held out.

    for kind in ema cosine gradient rotation fsq; do
        vqaudio train recipes/quantizers/$kind.yaml --out runs/$kind
    done
    python benchmarks/quantizers.py runs/ema runs/cosine runs/gradient runs/rotation runs/fsq

Usage is that of all codes of the test split of speechocean762 (125 speakers); entropy is in bits.
STOI and mel distance are means over every 20th of its utterances, with 95 % bootstrap intervals.
The same call prints the same figures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

import vqaudio
from vqaudio import audio
from vqaudio.corpora import CORPORA
from vqaudio.metrics import Interval, bootstrap_interval, mel_distance, stoi
from vqaudio.quantizers import CodebookUsage, count_codes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    parser.add_argument("--root", type=Path, default=Path("data"), help="of speechocean762")
    parser.add_argument("--every", type=int, default=20, help="utterances per listened-to one")
    arguments = parser.parse_args()

    files = [u.path for u in CORPORA["speechocean762"].utterances(arguments.root, "test")]
    print("| run | bit/s | mel distance | STOI | level | used | perplexity | entropy | restarts |")
    print("|---|---|---|---|---|---|---|---|---|")
    for run in arguments.runs:
        tokenizer = vqaudio.load(run / "model.safetensors")
        sizes = tokenizer.codec.codebook_sizes
        counts = [torch.zeros(size, dtype=torch.int64) for size in sizes]
        distances, clear = [], []
        for index, file in enumerate(files):
            original = audio.read(file, sample_rate=tokenizer.sample_rate).waveform[0]
            tokens = tokenizer.encode(original)
            for count, codes in zip(counts, tokens.codes, strict=True):
                count += count_codes(torch.from_numpy(codes.astype("int64")), len(count))
            if index % arguments.every == 0:
                decoded = tokenizer.decode(tokens)[0].numpy()
                distances.append(mel_distance(original, decoded, tokenizer.sample_rate))
                clear.append(stoi(original, decoded, tokenizer.sample_rate))
        restarts = restarts_of(run, len(sizes))
        head = f"{run.name} | {tokenizer.codec.bitrate():.0f}"
        head += f" | {show(bootstrap_interval(distances))} | {show(bootstrap_interval(clear))}"
        for level, (count, moved) in enumerate(zip(counts, restarts, strict=True)):
            book = CodebookUsage.from_counts(count)
            print(
                f"| {head} | {level + 1} | {100 * book.used:.1f} % of {sizes[level]} | "
                f"{book.perplexity:.0f} | {book.entropy:.2f} | {moved} |"
            )
            head = " | | | "
    print(f"\n{int(counts[0].sum())} tokens a level, {len(distances)} utterances listened to")


def restarts_of(run: Path, levels: int) -> list[int]:
    """Codes restarted in the whole run, per level."""
    lines = map(json.loads, (run / "log.jsonl").read_text(encoding="utf-8").splitlines())
    books = [line for line in lines if line["kind"] == "codebooks"]
    return [round(sum(line[f"restarts_{level}"] for line in books)) for level in range(levels)]


def show(interval: Interval) -> str:
    return f"{interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f})"


if __name__ == "__main__":
    main()
