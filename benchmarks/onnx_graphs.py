"""onnxruntime beside torch: speed, time to the first tokens, and what coarser numbers cost.

    vqaudio export-onnx speech-16k exported
    python benchmarks/onnx_graphs.py exported [--model speech-16k] [--speech FOLDER] [--threads N]

Real-time factor: seconds of sound per second of computing, 10 s of sound, the best of several runs,
both in this process. Start: a whole `vqaudio tokenize` of 1 s of sound. Flipped codes and the
signal-to-noise ratio of samples are against the float32 graphs.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

import vqaudio
from vqaudio import audio
from vqaudio.onnx.checking import check, example_speech, recordings
from vqaudio.onnx.runtime import OnnxTokenizer
from vqaudio.onnx.sessions import open_session

SECONDS = 10


def best(*runs: Callable[[], object], rounds: int = 10) -> list[float]:
    """Seconds of each run at its fastest, after one that does not count.

    They take turns, so that what else the machine does meets all of them.
    """
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds + 1):
        for run, own in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            own.append(time.perf_counter() - start)
    return [min(own[1:]) for own in times]


def tokenize(source: Path, options: list[str]) -> None:
    """`vqaudio tokenize`, as a program."""
    program = [sys.executable, "-c", "from vqaudio.cli import main; main()", "tokenize"]
    subprocess.run([*program, str(source), "--force", *options], check=True, capture_output=True)


def int8(source: Path, target: Path) -> None:
    quantize_dynamic(source, target, op_types_to_quantize=["MatMul"])


def float16(source: Path, target: Path) -> None:
    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


VARIANTS = {"int8": int8, "float16": float16}


class Graphs(NamedTuple):
    """Both directions, with float32 or with coarser numbers."""

    encoder: Any
    decoder: Any

    def encode(self, waveform: NDArray[np.float32]) -> NDArray[np.int64]:
        """[1, S] -> [1, Q, T]."""
        codes: NDArray[np.int64] = self.encoder.run(None, {"waveform": waveform[None]})[0]
        return codes

    def decode(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """[1, Q, T] -> [1, 1, S]."""
        waveform: NDArray[np.float32] = self.decoder.run(None, {"codes": codes})[0]
        return waveform


def graphs(
    folder: Path, threads: int, make: Callable[[Path, Path], object] = shutil.copy
) -> Graphs:
    """The graphs in `folder`, changed by `make`."""
    with tempfile.TemporaryDirectory() as temporary:
        sessions = []
        for name in ("encoder.onnx", "decoder.onnx"):
            make(folder / name, Path(temporary) / name)
            sessions.append(open_session(Path(temporary) / name, threads=threads))
    return Graphs(*sessions)


def row(
    name: str, exact: Graphs, other: Graphs, waveforms: list[NDArray[np.float32]], rate: int
) -> str:
    """What `other` numbers cost and bring, as a row of the table."""
    flipped, power, noise = [], 0.0, 0.0
    for waveform in waveforms:
        codes = exact.encode(waveform)
        flipped.append((codes != other.encode(waveform)).ravel())
        sound = exact.decode(codes)
        power += float(np.square(sound).sum())
        noise += float(np.square(sound - other.decode(codes)).sum())
    sound = np.resize(np.concatenate(waveforms, axis=1), (1, SECONDS * rate))
    codes = exact.encode(sound)
    encode, decode = best(lambda: other.encode(sound), lambda: other.decode(codes))
    return (
        f"| {name} | {100 * np.concatenate(flipped).mean():.1f} % "
        f"| {10 * np.log10(power / noise):.0f} dB "
        f"| {SECONDS / encode:.0f} x real time | {SECONDS / decode:.0f} x real time |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exported", type=Path)
    parser.add_argument("--model", default="speech-16k")
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # of the quantizer, about graphs it would like prepared
    torch.set_num_threads(arguments.threads)
    reference = vqaudio.load(arguments.model, device="cpu")
    exported = OnnxTokenizer(arguments.exported, threads=arguments.threads)
    rate = reference.sample_rate
    waveforms = (
        list(recordings(arguments.speech, rate)) if arguments.speech else [example_speech(rate)]
    )
    print(f"{arguments.threads} threads, {reference}\n")
    print("\n".join(check(reference, exported, waveforms).lines()))

    sound = np.resize(np.concatenate(waveforms, axis=1), (1, SECONDS * rate))
    tokens = reference.encode(sound)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.wav"
        audio.write(source, sound[:, :rate], rate)
        by_torch = ["--model", arguments.model]
        by_onnx = ["--model", str(arguments.exported), "--runtime", "onnx"]
        starts = best(partial(tokenize, source, by_torch), partial(tokenize, source, by_onnx))
    encodes = best(lambda: reference.encode(sound), lambda: exported.encode(sound))
    decodes = best(lambda: reference.decode(tokens), lambda: exported.decode(tokens))
    print("\n| runtime | encode | decode | start |\n|---|---|---|---|")
    for name, encode, decode, start in zip(
        ("torch", "onnxruntime"), encodes, decodes, starts, strict=True
    ):
        print(
            f"| {name} | {SECONDS / encode:.0f} x real time | {SECONDS / decode:.0f} x real time "
            f"| {start:.1f} s |"
        )

    print("\n| numbers | codes flipped | samples | encode | decode |\n|---|---|---|---|---|")
    exact = graphs(arguments.exported, arguments.threads)
    for name, make in VARIANTS.items():
        other = graphs(arguments.exported, arguments.threads, make)
        print(row(name, exact, other, waveforms, rate))


if __name__ == "__main__":
    main()
