"""What a push of a stream costs: one stream and many, our codec and Mimi's.

    python benchmarks/streaming.py [--model MODEL] [--threads N] [--seconds 10] [--json FILE]

Each stream is pushed a frame at a time, 20 ms of ours and 80 ms of Mimi (as transformers has it, at
its official size with random weights; it encodes streams, decoding them is not exact there). Median
and 99th percentile of a push in ms, and seconds of sound of all streams per second of computing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import machine, table

import vqaudio
from vqaudio.streaming import push_all

STREAMS = (1, 8, 64)


def measure(push: Callable[[int], object], pushes: int, seconds: float) -> dict[str, float]:
    """`push(turn)` computes `seconds` of sound; the first tenth of the pushes does not count."""
    times = []
    for turn in range(pushes):
        start = time.perf_counter()
        push(turn)
        times.append(time.perf_counter() - start)
    counted = np.array(times[pushes // 10 :])
    return {
        "median_ms": 1e3 * float(np.median(counted)),
        "p99_ms": 1e3 * float(np.percentile(counted, 99)),
        "real_time_factor": seconds / float(np.median(counted)),
    }


def ours(tokenizer: vqaudio.Tokenizer, streams: int, pushes: int) -> dict[str, dict[str, float]]:
    """Encode and decode."""
    hop = tokenizer.codec.hop_length
    random = np.random.default_rng(0)
    sound = 0.1 * random.standard_normal((streams, pushes * hop), dtype=np.float32)
    encoders = [tokenizer.stream_encoder() for _ in range(streams)]
    decoders = [tokenizer.stream_decoder() for _ in range(streams)]
    sizes = np.array(tokenizer.codec.codebook_sizes)[:, None]
    codes = random.integers(0, sizes, (streams, len(sizes), pushes))

    def encode(turn: int) -> None:
        push_all(encoders, list(sound[:, turn * hop : (turn + 1) * hop]))

    def decode(turn: int) -> None:
        push_all(decoders, list(codes[:, :, turn : turn + 1]))

    seconds = streams * hop / tokenizer.sample_rate
    return {
        "encode": measure(encode, pushes, seconds),
        "decode": measure(decode, pushes, seconds),
    }


def mimi(pushes: int) -> dict[str, float]:
    """Encode with 8 codebooks, as Moshi does."""
    from transformers import MimiConfig, MimiModel

    torch.manual_seed(0)
    model = MimiModel(MimiConfig()).eval()
    frame = int(model.config.sampling_rate / model.config.frame_rate)
    sound = 0.1 * torch.randn(1, 1, pushes * frame)
    kept: tuple[Any, Any] = None, None  # by position: their names are not those of every release

    def encode(turn: int) -> None:
        nonlocal kept
        part = sound[..., turn * frame : (turn + 1) * frame]
        with torch.inference_mode():
            found = model.encode(part, None, 8, *kept, use_streaming=True)
        kept = found[1], found[2]
        assert None not in kept

    return measure(encode, pushes, frame / model.config.sampling_rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=10.0, help="of each stream")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tokenizer = vqaudio.load(arguments.model, device="cpu")
    print(f"{machine(arguments.threads)}, {tokenizer}")

    rows: dict[str, dict[str, float]] = {}
    pushes = max(round(arguments.seconds * tokenizer.codec.frame_rate), 2)
    for streams in STREAMS:
        for way, row in ours(tokenizer, streams, pushes).items():
            rows[f"vqaudio, {streams} stream{'s' * (streams > 1)}, {way}"] = row
    try:
        rows["Mimi, 1 stream, encode"] = mimi(max(round(arguments.seconds * 12.5), 2))
    except ImportError:
        print("Mimi is left out: pip install transformers")
    cells = [
        [name, f"{row['median_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['real_time_factor']:.0f}"]
        for name, row in rows.items()
    ]
    print("\n" + table(["a frame of", "median, ms", "99 %, ms", "x real time"], cells))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
