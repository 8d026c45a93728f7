"""Our quantizer as a layer beside vector-quantize-pytorch: time and memory of one pass.

    pip install vector-quantize-pytorch
    python benchmarks/quantizer_layer.py [--threads N] [--codes K ...] [--levels Q ...]

Random vectors of dimension 128 through one codebook and through eight residual ones; a pass in
training with and without the gradient's way back, and one in evaluation. Times are the best of 5
runs (of fewer where they take long), after one that does not count. Memory is what the peak of the
process grew by from before the first pass: weights and input are not in it. Every layer has a
process of its own.

Both layers move their codes by averages in each training pass and start without k-means. Ours:
`EmaCodebook` and `ResidualQuantizer` as they are. Theirs: `VectorQuantize` and `ResidualVQ` with
their defaults and threshold_ema_dead_code=2, which switches restarts of dead codes on, as ours
are. The last two lines of each size only search: what plain torch takes, and the matrix product
without which nobody finds the nearest code.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measuring import best, in_a_fresh_process, machine, peak_memory, table
from torch import Tensor, nn

from vqaudio.quantizers import EmaCodebook, ResidualQuantizer

DIM = 128
OURS, THEIRS, CDIST, PRODUCT = (
    "vqaudio",
    "vector-quantize-pytorch",
    "torch.cdist, argmin",
    "product",
)
VECTORS = (4096, 65536)
QUICK = [(256, 64, 1), (256, 64, 2)]
"""Vectors, codes per book, levels."""


class Layer(NamedTuple):
    """A quantizer, and what of its answer training takes the gradient of."""

    module: nn.Module
    loss: Callable[[Any], Tensor]


def ours(codes: int, levels: int) -> Layer:
    def book() -> EmaCodebook:
        made = EmaCodebook(codes, DIM)
        made.place(torch.randn(codes, DIM))  # as theirs is: at random, without k-means
        return made

    if levels == 1:
        return Layer(book(), lambda answer: answer.commitment)
    module = ResidualQuantizer(levels, book, stagger=0)
    return Layer(module, lambda answer: answer.latents.mean() + answer.commitment)


def theirs(codes: int, levels: int) -> Layer:
    from vector_quantize_pytorch import ResidualVQ, VectorQuantize

    settings = {"dim": DIM, "codebook_size": codes, "threshold_ema_dead_code": 2}
    if levels == 1:
        return Layer(VectorQuantize(**settings), lambda answer: answer[2].sum())
    module = ResidualVQ(num_quantizers=levels, **settings)
    return Layer(module, lambda answer: answer[0].mean() + answer[2].sum())


def measure(name: str, vectors: int, codes: int, levels: int, threads: int) -> dict[str, float]:
    """In this process: seconds and MiB by column."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x = torch.randn(1, vectors, DIM)
    if name in (CDIST, PRODUCT):
        return measure_search(name, x[0], torch.randn(codes, DIM))
    layer = (ours if name == OURS else theirs)(codes, levels)
    found: dict[str, float] = {}
    before = peak_memory()

    layer.module.eval()
    with torch.no_grad():
        found["evaluation"] = best(lambda: layer.module(x))
    found["evaluation memory"] = peak_memory() - before

    layer.module.train()
    x.requires_grad_()
    found["training"] = best(lambda: layer.module(x))
    found["with backward"] = best(lambda: torch.autograd.backward(layer.loss(layer.module(x))))
    found["training memory"] = peak_memory() - before
    return found


def measure_search(name: str, x: Tensor, centroids: Tensor) -> dict[str, float]:
    def search() -> Tensor:
        return x @ centroids.T if name == PRODUCT else torch.cdist(x, centroids).argmin(dim=1)

    before = peak_memory()
    seconds = best(search)
    return {"evaluation": seconds, "evaluation memory": peak_memory() - before}


COLUMNS = ("training", "with backward", "evaluation", "training memory", "evaluation memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--codes", type=int, nargs="+", default=[1024, 8192], help="per book")
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(**arguments.measure)))
        return

    print(machine(arguments.threads))
    layers = [OURS, THEIRS]
    if find_spec("vector_quantize_pytorch") is None:
        print("without vector-quantize-pytorch, which is not installed")
        layers.remove(THEIRS)
    figures = []
    sizes = list(product(VECTORS, arguments.codes, arguments.levels))
    for vectors, codes, levels in QUICK if arguments.quick else sizes:
        size = {"vectors": vectors, "codes": codes, "levels": levels}
        found = {}
        for name in [*layers, CDIST, PRODUCT] if levels == 1 else layers:
            order = {"name": name, **size, "threads": arguments.threads}
            found[name] = in_a_fresh_process(__file__, order)
            figures.append({"layer": name, **size, **found[name]})
        print(f"\n{vectors} vectors, {codes} codes, {levels} levels\n")
        print(table(["", *COLUMNS], [[name, *_cells(found[name])] for name in found]))
        if THEIRS in found:
            print(f"\n{_ratios(found[OURS], found[THEIRS])}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _cells(found: dict[str, float]) -> list[str]:
    return [
        ""
        if column not in found
        else f"{found[column]:.0f} MiB"
        if "memory" in column
        else f"{1000 * found[column]:.1f} ms"
        for column in COLUMNS
    ]


def _ratios(ours: dict[str, float], theirs: dict[str, float]) -> str:
    ratios = (f"{column} {theirs[column] / max(ours[column], 1e-9):.1f}" for column in COLUMNS)
    return f"theirs over ours: {', '.join(ratios)}"


if __name__ == "__main__":
    main()
