"""The nearest code of a vector, by one matrix product."""

from __future__ import annotations

import torch
from torch import Tensor

from vqaudio.layers.linear import LEAST_ROWS

BLOCK_ROWS = 256
"""Vectors searched at a time on CPU: the score matrix stays [256, K] however many there are, 1 MiB
at K = 1024, which a core's cache holds (docs/performance.md)."""
DEVICE_BLOCK_ROWS = 4096
"""The same on other devices, where starting an operation costs more than memory."""


class Search:
    """A search among centroids [K, D], which are read now and not again.

    ||x - e||^2 = ||x||^2 - 2 (x . e - ||e||^2 / 2), so the nearest code maximises what stands in
    the brackets. Both sides are first moved to the centroids' mean: distances stay, but squared
    norms become small, and float32 keeps the digits that decide. Autocast would take them: it is
    off in here.
    """

    @torch.no_grad()
    def __init__(self, centroids: Tensor) -> None:
        with torch.autocast(centroids.device.type, enabled=False):
            self._origin = centroids.mean(dim=0)
            codebook = centroids - self._origin
            # The bias is one more dimension, in which every vector is 1: no pass over the scores.
            bias = -0.5 * codebook.square().sum(dim=1, keepdim=True)
            self._weights = torch.cat([codebook, bias], dim=1).T

    @torch.no_grad()
    def __call__(self, vectors: Tensor) -> Tensor:
        """[N, D] -> [N] int64: argmin_k ||x - e_k||^2, the lowest k of equal scores."""
        size, dim = vectors.shape
        most = BLOCK_ROWS if vectors.device.type == "cpu" else DEVICE_BLOCK_ROWS
        # Fewer rows would be multiplied in another way (layers/linear.py).
        rows = max(min(size, most), LEAST_ROWS)
        with torch.autocast(vectors.device.type, enabled=False):
            # All blocks use the same memory: new pages cost as much as the product itself.
            shifted = vectors.new_ones(rows, dim + 1)
            scores = vectors.new_empty(rows, self._weights.shape[1])
            codes = torch.empty(size, dtype=torch.int64, device=vectors.device)
            for start in range(0, size, rows):
                block = vectors[start : start + rows]
                torch.sub(block, self._origin, out=shifted[: len(block), :dim])
                some = slice(max(len(block), LEAST_ROWS))
                torch.mm(shifted[some], self._weights, out=scores[some])
                codes[start : start + rows] = _argmax(scores[: len(block)])
        return codes


def nearest(vectors: Tensor, centroids: Tensor) -> Tensor:
    """[N, D], [K, D] -> [N] int64: argmin_k ||x - e_k||^2, the lowest k of equal scores.

    In float32, under autocast too; no tensor of N x K is ever whole. See `Search`.
    """
    return Search(centroids)(vectors)


def _argmax(scores: Tensor) -> Tensor:
    """[N, K] -> [N]: the place of each row's first maximum."""
    if scores.device.type == "cpu":
        # NumPy searches with vector instructions, torch 2.15 does not: 0.4 against 4.5 ms for
        # 1024 x 1024 on one core (benchmarks/quantizer_layer.py).
        return torch.from_numpy(scores.numpy().argmax(axis=1))
    return scores.argmax(dim=1)
