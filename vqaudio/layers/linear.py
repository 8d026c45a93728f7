"""Products of vectors and weights that come out the same however many vectors there are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_ROWS = 16
"""Fewer are computed as so many. MKL multiplies few rows in another way than many, and adds in
another order: from 3 to 16 rows on, by the size of the weights, a row is the same to the last bit.
It costs next to nothing, as reading the weights takes longer than multiplying with them."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As F.linear: [..., C], [out, C], [out] -> [..., out]."""
    # Graphs are for runtimes that multiply in their own way, and for any number of vectors.
    if torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    x = x.contiguous()  # others are multiplied in yet another way
    size = x.shape[:-1].numel()
    if size >= LEAST_ROWS:
        return F.linear(x, weight, bias)
    rows = F.pad(x.view(size, x.shape[-1]), (0, 0, 0, LEAST_ROWS - size))
    return F.linear(rows, weight, bias)[:size].view(*x.shape[:-1], len(weight))


class FrameLinear(nn.Linear):
    """[..., C] -> [..., out]: nn.Linear by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
