"""What a codebook is to those who use one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vqaudio.quantizers.search import Search

FORGOTTEN = 1e-30
"""A count below which a code is dead whatever its share: float32 is about to lose it."""


class Quantized(NamedTuple):
    """One codebook's answer; shapes [..., D] and [...] as the input's.

    Vectors, codes and what is left of padding mean nothing.
    """

    vectors: Tensor
    """[..., D] the chosen centroids, float32, without a gradient; only those of a codebook with
    projections carry one."""
    left: Tensor
    """[..., D] x - vectors, with the gradients of both: what is left to quantize."""
    codes: Tensor
    """[...] int64, 0 to K - 1."""
    commitment: Tensor
    """Scalar: mean of (x - sg[e])^2 over what the mask leaves; pulls the input to its code."""
    codebook_loss: Tensor
    """Scalar: mean of (sg[x] - e)^2; pulls codes to the input. Zero where averages move them."""
    restarts: Tensor
    """Scalar int64: dead codes that this step moved to a vector of the batch."""


class Codebook(Protocol):
    """What all codebooks are behind: a new one is a class and a line in a table."""

    codebook_size: int
    dim: int

    @property
    def started(self) -> bool:
        """Whether a batch has placed the codes."""
        ...

    def encode(self, x: Tensor) -> Tensor:
        """[..., D] -> [...] int64, and nothing moves."""
        ...

    def frozen_encode(self) -> Callable[[Tensor], Tensor]:
        """`encode` as it is now: what depends on the codes alone is computed once.

        That is most of the work for a single frame. What the codebook becomes later, it does not
        know.
        """
        ...

    def decode(self, codes: Tensor) -> Tensor:
        """[...] -> [..., D] float32."""
        ...

    def stored(self) -> dict[str, Tensor]:
        """What a model file holds of the codebook: all that encode and decode need."""
        ...

    def restore(self, stored: dict[str, Tensor]) -> None:
        """Take the tensors of `stored` back out of the dictionary; all codes equally used.

        Raises KeyError, and RuntimeError for a wrong shape.
        """
        ...

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Quantized: ...


def dead_codes(counts: Tensor, restart_below: float) -> Tensor:
    """[K] -> [K] bool: which codes got less than this fraction of the fair share, the mean."""
    return counts < (restart_below * counts.mean()).clamp(min=FORGOTTEN)


def masked_mean_square(difference: Tensor, mask: Tensor | None) -> Tensor:
    """[N, D], [N] or None -> scalar: mean square over the vectors that the mask keeps."""
    if mask is None:
        # Of the ways to write it, that with one pass in each direction.
        return F.mse_loss(difference, difference.new_zeros(()).expand_as(difference))
    # Padding is set to zero before it is squared: so neither value nor gradient knows of it.
    squares = difference.masked_fill(~mask[:, None], 0.0).square().mean(dim=-1)
    return squares.sum() / mask.sum().clamp(min=1)


def flatten(x: Tensor, mask: Tensor | None, dim: int) -> tuple[Tensor, Tensor | None]:
    """[..., D], [...] -> [N, D] float32, [N]; raises ValueError when they do not fit."""
    if x.shape[-1] != dim:
        raise ValueError(f"vectors of dimension {dim} expected, got shape {tuple(x.shape)}")
    if mask is None:
        return x.float().reshape(-1, dim), None
    if mask.shape != x.shape[:-1] or mask.dtype != torch.bool:
        raise ValueError(
            f"a mask for vectors {tuple(x.shape)} is bool of shape {tuple(x.shape[:-1])}, "
            f"got {mask.dtype} {tuple(mask.shape)}"
        )
    return x.float().reshape(-1, dim), mask.reshape(-1)


def frozen_search(centroids: Tensor) -> Callable[[Tensor], Tensor]:
    """[K, D] -> the search of [..., D] -> [...] int64 among them, as they are now."""
    search, dim = Search(centroids), centroids.shape[1]
    return lambda x: search(flatten(x, None, dim)[0]).view(x.shape[:-1])
