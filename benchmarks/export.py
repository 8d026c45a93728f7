"""How near an export comes to what the bare model encodes, and the memory that both take.

    python benchmarks/export.py DIR [--model MODEL] [--files 1000] [--hours 3] [--runs 1]

DIR holds real speech. From it, by repetition, are made 1,000 short files and one of three hours,
16 bits at the model's rate. The bare model is `codec.encode` in a loop over the same waveforms,
which lie in memory already: each short one as it is, the long one in consecutive pieces of 10 s
without the context that makes their codes right. The export reads, hashes, encodes, writes, reads
back and hashes again. Each runs in a process of its own with one thread for the model, after a
first second of sound that does not count; the peak is of that process, torch included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import soundfile
import torch

import vqaudio
from vqaudio import audio
from vqaudio.export import Order, export
from vqaudio.export.shard import load_once

SHORT_SECONDS = (1.0, 15.0)
"""Of the short files, all lengths between: as of utterances."""
PIECE_SECONDS = 10


def make_files(source: Path, folder: Path, *, files: int, hours: float, sample_rate: int) -> None:
    """folder/short/*.wav and folder/long/long.wav, of the speech in `source`."""
    read = (audio.read(path, sample_rate=sample_rate) for path in audio.find_audio(source))
    speech = np.concatenate([one.waveform[0] for one in islice(read, 200)])
    (folder / "short").mkdir()
    (folder / "long").mkdir()
    lengths = np.linspace(*SHORT_SECONDS, files) * sample_rate
    start = 0
    for number, length in enumerate(np.random.default_rng(0).permutation(lengths.astype(int))):
        part = np.take(speech, range(start, start + length), mode="wrap")
        soundfile.write(folder / "short" / f"{number:05}.wav", part, sample_rate)
        start = (start + length) % len(speech)
    remaining = round(hours * 3600 * sample_rate)
    with soundfile.SoundFile(folder / "long" / "long.wav", "w", sample_rate, 1) as file:
        while remaining > 0:
            file.write(speech[:remaining])
            remaining -= len(speech)


def run_bare(data: Path, tokenizer: vqaudio.Tokenizer) -> tuple[float, float]:
    """Seconds of sound, and seconds that the model takes for them."""
    sounds = [torch.from_numpy(waveform) for waveform in _waveforms(data, tokenizer.sample_rate)]
    start = time.perf_counter()
    for sound in sounds:
        tokenizer.codec.encode(sound[None].to(tokenizer.device)).cpu()
    taken = time.perf_counter() - start
    return sum(sound.shape[1] for sound in sounds) / tokenizer.sample_rate, taken


def _waveforms(data: Path, sample_rate: int) -> Iterator[np.ndarray]:
    for path in audio.find_audio(data):
        for block in audio.read_blocks(path, sample_rate=sample_rate, block_seconds=PIECE_SECONDS):
            yield block[None]


def run_export(data: Path, model: str | None, device: str) -> tuple[float, float]:
    """Seconds of sound, and seconds from the command to the index; the model is loaded."""
    with tempfile.TemporaryDirectory(dir=data.parent) as out:
        start = time.perf_counter()
        index = export(Order(str(data), f"{out}/tokens", model, device=device))
        return index.seconds, time.perf_counter() - start


def measure(what: str, data: Path, arguments: argparse.Namespace) -> None:
    """In this process: prints one line of JSON."""
    torch.set_num_threads(1)  # as an export does
    tokenizer = load_once(arguments.model, arguments.device)
    tokenizer.encode(np.zeros(tokenizer.sample_rate, np.float32))
    if what == "bare":
        seconds, taken = run_bare(data, tokenizer)
    else:
        seconds, taken = run_export(data, arguments.model, arguments.device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB; Linux counts in KiB
    print(json.dumps({"seconds": seconds, "taken": taken, "peak": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of speech")
    parser.add_argument("--model", help="model file or name")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--files", type=int, default=1000, help="short ones")
    parser.add_argument("--hours", type=float, default=3.0, help="of the long one")
    parser.add_argument("--runs", type=int, default=1, help="of each, in turn; the best counts")
    parser.add_argument("--measure", choices=["bare", "export"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.data, arguments)
        return
    sample_rate = vqaudio.load(arguments.model, device="cpu").sample_rate
    print("| files | bare model | export | ratio | peak bare | peak export |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        make_files(
            arguments.data,
            Path(folder),
            files=arguments.files,
            hours=arguments.hours,
            sample_rate=sample_rate,
        )
        for kind in ("short", "long"):
            found: dict[str, list[dict[str, float]]] = {"bare": [], "export": []}
            for what, _ in zip(cycle(found), range(2 * arguments.runs), strict=False):
                command = [sys.executable, __file__, *sys.argv[1:], "--measure", what]
                command[2 + sys.argv[1:].index(str(arguments.data))] = f"{folder}/{kind}"
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[what].append(json.loads(done.stdout.splitlines()[-1]))
            bare, ours = (min(runs, key=lambda run: run["taken"]) for runs in found.values())
            speeds = [run["seconds"] / run["taken"] for run in (bare, ours)]
            print(
                f"| {kind}, {ours['seconds'] / 3600:.2f} h | {speeds[0]:.1f} x real time | "
                f"{speeds[1]:.1f} x real time | {100 * speeds[1] / speeds[0]:.0f} % | "
                f"{bare['peak']:.0f} MiB | {ours['peak']:.0f} MiB |"
            )


if __name__ == "__main__":
    main()
