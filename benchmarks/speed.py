"""How fast the model encodes and decodes here, beside what the machine can do at all.

    python benchmarks/speed.py [--model MODEL] [--threads N] [--device DEVICE]

Real-time factor: seconds of sound per second of computing, the best of several runs, codec and
framing included, files and resampling not. The float32 rate of a 2048 x 2048 matrix product and
torch's own argmax against ours stand beside it.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import numpy as np
import torch

import vqaudio
from vqaudio.quantizers import nearest

SECONDS = (1, 10, 60, 600)
"""Of sound."""


def best(run: Callable[[], object], *, runs: int = 5) -> float:
    """Seconds of the fastest of `runs` runs, after one that does not count."""
    run()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def matrix_product_rate(device: torch.device) -> float:
    """GFLOP/s of a float32 matrix product."""
    size = 2048
    a, b = torch.randn(2, size, size, device=device)

    def run() -> None:
        (a @ b)[0, 0].item()

    return 2 * size**3 / best(run) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tokenizer = vqaudio.load(arguments.model, device=arguments.device)
    print(f"{platform.processor() or platform.machine()}, {arguments.threads} threads, {tokenizer}")
    print(f"matrix product, float32: {matrix_product_rate(tokenizer.device):.0f} GFLOP/s\n")

    print("| sound | encode | decode |\n|---|---|---|")
    random = np.random.default_rng(0)
    for seconds in SECONDS:
        samples = 0.1 * random.standard_normal(seconds * tokenizer.sample_rate, dtype=np.float32)
        tokens = tokenizer.encode(samples)
        runs = 5 if seconds <= 60 else 1
        encode = seconds / best(lambda samples=samples: tokenizer.encode(samples), runs=runs)
        decode = seconds / best(lambda tokens=tokens: tokenizer.decode(tokens), runs=runs)
        print(f"| {seconds} s | {encode:.0f} x real time | {decode:.0f} x real time |")

    vectors, centroids = torch.randn(4096, 128), torch.randn(1024, 128)
    ours = best(lambda: nearest(vectors, centroids))
    plain = best(lambda: torch.cdist(vectors, centroids).argmin(dim=1))
    product = best(lambda: vectors @ centroids.T)
    print(
        f"\nnearest of 1024 codes for 4096 vectors of 128: {1e3 * ours:.1f} ms; "
        f"torch.cdist and argmin {1e3 * plain:.1f} ms; matrix product alone {1e3 * product:.1f} ms"
    )


if __name__ == "__main__":
    main()
