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
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

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


def best(run: Callable[[], object], *, runs: int = 7) -> float:
    """Seconds of the fastest of `runs` runs, after one that does not count."""
    run()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def start(arguments: list[str], waveform: NDArray[np.float32], rate: int) -> float:
    """Seconds of `vqaudio tokenize`, as a program."""
    with tempfile.TemporaryDirectory() as folder:
        audio.write(Path(folder) / "in.wav", waveform[:, :rate], rate)
        program = [sys.executable, "-c", "from vqaudio.cli import main; main()", "tokenize"]
        command = [*program, f"{folder}/in.wav", "--force", *arguments]
        return best(lambda: subprocess.run(command, check=True, capture_output=True), runs=5)


def int8(source: Path, target: Path) -> None:
    quantize_dynamic(source, target)


def int8_products(source: Path, target: Path) -> None:
    quantize_dynamic(source, target, op_types_to_quantize=["MatMul"])


def float16(source: Path, target: Path) -> None:
    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


VARIANTS = {"int8": int8, "int8, products only": int8_products, "float16": float16}


def coarser(
    folder: Path, waveforms: Iterable[NDArray[np.float32]], threads: int
) -> Iterable[tuple[str, float, float, float, float]]:
    """By variant: flipped codes (1 = all), signal-to-noise ratio in dB, both real-time factors."""
    encoder, decoder = (
        open_session(folder / f"{name}.onnx", threads=threads) for name in ("encoder", "decoder")
    )
    codes = [encoder.run(None, {"waveform": one[None]})[0] for one in waveforms]
    sounds = [decoder.run(None, {"codes": one})[0] for one in codes]
    for name, make in VARIANTS.items():
        with tempfile.TemporaryDirectory() as temporary:
            graphs = []
            for graph in ("encoder", "decoder"):
                make(folder / f"{graph}.onnx", Path(temporary) / f"{graph}.onnx")
                graphs.append(open_session(Path(temporary) / f"{graph}.onnx", threads=threads))
        other_codes = [graphs[0].run(None, {"waveform": one[None]})[0] for one in waveforms]
        flipped = [(a != b).ravel() for a, b in zip(codes, other_codes, strict=True)]
        other_sounds = [graphs[1].run(None, {"codes": one})[0] for one in codes]
        noise = [np.square(a - b).sum() for a, b in zip(sounds, other_sounds, strict=True)]
        ratio = sum(np.square(one).sum() for one in sounds) / sum(noise)
        frames = codes[0][..., :500]
        sound = np.resize(np.concatenate(waveforms, axis=1), (1, 1, SECONDS * 16_000))
        yield (
            name,
            float(np.concatenate(flipped).mean()),
            10 * float(np.log10(ratio)),
            SECONDS / best(lambda: graphs[0].run(None, {"waveform": sound})),
            SECONDS * frames.shape[2] / 500 / best(lambda: graphs[1].run(None, {"codes": frames})),
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
    options = {
        "torch": ["--model", arguments.model],
        "onnxruntime": ["--model", str(arguments.exported), "--runtime", "onnx"],
    }
    print("\n| runtime | encode | decode | start |\n|---|---|---|---|")
    for (name, option), one in zip(options.items(), (reference, exported), strict=True):
        encode = SECONDS / best(lambda one=one: one.encode(sound))
        decode = SECONDS / best(lambda one=one: one.decode(tokens))
        seconds = start(option, sound, rate)
        print(f"| {name} | {encode:.0f} x real time | {decode:.0f} x real time | {seconds:.1f} s |")

    print("\n| numbers | codes flipped | samples | encode | decode |\n|---|---|---|---|---|")
    for name, flipped, ratio, encode, decode in coarser(
        arguments.exported, waveforms, arguments.threads
    ):
        print(
            f"| {name} | {100 * flipped:.1f} % | {ratio:.0f} dB | {encode:.0f} x real time "
            f"| {decode:.0f} x real time |"
        )


if __name__ == "__main__":
    main()
