"""Whether `tokenize -` and `detokenize -` take memory that does not grow, and give the same.

    python benchmarks/pipe.py DATA [--model MODEL] [--minutes 1 10 60]

DATA is any folder of sound files; they are played one after the other, again and again, as one
wav of each length. Every program is a process of its own: `tokenize -` and `detokenize -` from pipe
to pipe, and the same with files. Its peak memory, its real-time factor (with its start), how many
codes of the stream are not those of the file, and how far samples are apart, in steps of 16 bits.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from measuring import machine, table
from numpy.typing import NDArray

import vqaudio
from vqaudio import audio

RATE = 16000


STARTER = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
"""A small program that starts another: Linux counts the memory of who starts it as its own."""


class Run(NamedTuple):
    """Of one program."""

    memory: float
    """MiB at the peak."""
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of sound files")
    parser.add_argument("--model", help="model file or name")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 60])
    arguments = parser.parse_args()
    model = ["--model", arguments.model] if arguments.model else []
    print(f"{machine(torch.get_num_threads())}, {vqaudio.load(arguments.model, device='cpu')}\n")
    rows = []
    for minutes in arguments.minutes:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(compare(Path(folder), arguments.data, minutes, model))
    print(table(HEADER, rows))


HEADER = (
    "minutes",
    "`tokenize -`, MiB",
    "x real time",
    "`detokenize -`, MiB",
    "x real time",
    "`tokenize FILE`, MiB",
    "`detokenize FILE`, MiB",
    "codes that differ",
    "largest sample difference",
)


def compare(folder: Path, data: Path, minutes: float, model: list[str]) -> list[str]:
    """A row of the table."""
    sound, tokens, heard = (folder / name for name in ("in.wav", "whole.vqa", "whole.wav"))
    stream, live = folder / "stream.vqs", folder / "live.wav"
    write_speech(sound, data, minutes)
    encoder = vqaudio_program("tokenize", "-", *model, stdin=sound, stdout=stream)
    decoder = vqaudio_program("detokenize", "-", *model, stdin=stream, stdout=live)
    whole_encoder = vqaudio_program("tokenize", str(sound), "--out", str(tokens), *model)
    whole_decoder = vqaudio_program("detokenize", str(tokens), "--out", str(heard), *model)

    streamed, whole = (vqaudio.Tokens.load(path) for path in (stream, tokens))
    differing = int((streamed.codes != whole.codes).sum())
    return [
        f"{minutes:g}",
        f"{encoder.memory:.0f}",
        f"{60 * minutes / encoder.seconds:.0f}",
        f"{decoder.memory:.0f}",
        f"{60 * minutes / decoder.seconds:.0f}",
        f"{whole_encoder.memory:.0f}",
        f"{whole_decoder.memory:.0f}",
        f"{differing} of {whole.codes.size}",
        f"{largest_difference(live, heard)}",
    ]


def write_speech(path: Path, data: Path, minutes: float) -> None:
    """A wav of 16 kHz, 16 bits."""
    missing = round(60 * minutes * RATE)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for source in cycle(audio.find_audio(data)):
            part = audio.read(source, sample_rate=RATE).waveform[0, :missing]
            file.write(part)
            missing -= len(part)
            if not missing:
                break


def vqaudio_program(*order: str, stdin: Path | None = None, stdout: Path | None = None) -> Run:
    """Run to its end; its standard input and output are pipes from and to the files."""
    program = [sys.executable, "-c", "from vqaudio.cli import main; main()", *order]
    start = time.perf_counter()
    with (
        subprocess.Popen(["cat", stdin or os.devnull], stdout=subprocess.PIPE) as source,
        open(stdout or os.devnull, "wb") as target,
        subprocess.Popen(
            [sys.executable, "-c", STARTER, *program],
            stdin=source.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        assert process.stdout
        assert process.stderr
        while block := process.stdout.read(1 << 16):
            target.write(block)
        *said, memory = process.stderr.read().decode().splitlines()
    if process.returncode:
        raise RuntimeError("\n".join(said))
    return Run(int(memory) / 2**10, time.perf_counter() - start)


def largest_difference(live: Path, whole: Path) -> int:
    """Between the samples of two files of 16 bits; lengths have to be the same."""
    largest = 0
    for one, other in zip(blocks(live), blocks(whole), strict=True):
        largest = max(largest, int(np.abs(one - other).max()))
    return largest


def blocks(path: Path) -> Iterator[NDArray[np.int32]]:
    for block in soundfile.blocks(path, RATE, dtype="int16"):
        yield block.astype(np.int32)


if __name__ == "__main__":
    main()
