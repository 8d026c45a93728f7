"""Finite scalar quantization: a grid in place of a learnt codebook."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.quantizers.codebook import Quantized


class FsqGrid(nn.Module):
    """A regular grid in [-1, 1]^d, dimension i cut into `levels[i]` values.

    Mentzer et al. 2023, arXiv:2309.15505, with the symmetric levels of Parker et al. 2024,
    arXiv:2411.19842: value n of L is 2 n / (L - 1) - 1, so that the ends are values too. Nothing is
    learnt, nothing can die, and rounding each dimension is the whole search.
    """

    grid: Tensor
    highest: Tensor
    strides: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.codebook_size = math.prod(levels)
        self.dim = len(levels)
        highest = torch.tensor(levels) - 1
        values = [torch.linspace(-1, 1, size) for size in levels]
        # The last dimension counts fastest, as in a nested loop.
        strides = [math.prod(levels[place + 1 :]) for place in range(len(levels))]
        self.register_buffer("highest", highest.float(), persistent=False)
        self.register_buffer("strides", torch.tensor(strides), persistent=False)
        self.register_buffer("grid", torch.cartesian_prod(*values).view(-1, self.dim), False)

    @property
    def started(self) -> bool:
        return True

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Quantized:
        """x [..., d] in [-1, 1]; padding needs no mask, because nothing is learnt from it."""
        codes = self.encode(x)
        zero = x.new_zeros((), dtype=torch.float32)
        vectors = self.decode(codes)
        return Quantized(vectors, x.float() - vectors, codes, zero, zero, codes.new_zeros(()))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """[..., d] in [-1, 1] -> [...] int64."""
        places = (0.5 * (x.float().nan_to_num() + 1) * self.highest).round()
        return (places.clamp(min=0).minimum(self.highest).long() * self.strides).sum(dim=-1)

    def frozen_encode(self) -> Callable[[Tensor], Tensor]:
        """`encode`: the grid never moves."""
        return self.encode

    def decode(self, codes: Tensor) -> Tensor:
        """[...] -> [..., d]."""
        return F.embedding(codes, self.grid)

    def stored(self) -> dict[str, Tensor]:
        return {}

    def restore(self, stored: dict[str, Tensor]) -> None:
        pass
