"""Codebooks as what is left of them when nothing moves any more: a search and a table."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.quantizers import EmaCodebook, FsqGrid, GradientCodebook, ProjectedCodebook


class NearestCode(nn.Module):
    """[N, D] -> [N] int64: as `vqaudio.quantizers.nearest`, for centroids that stay."""

    origin: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, centroids: Tensor) -> None:
        super().__init__()
        origin = centroids.mean(dim=0)
        codebook = centroids - origin
        self.register_buffer("origin", origin)
        self.register_buffer("weight", codebook)
        self.register_buffer("bias", -0.5 * codebook.square().sum(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        # Of equal scores, ONNX's ArgMax takes the first.
        return F.linear(x - self.origin, self.weight, self.bias).argmax(dim=1)


class NearestOnGrid(nn.Module):
    """[N, d] -> [N] int64: the rounding of an FSQ grid."""

    def __init__(self, grid: FsqGrid) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        return self.grid.encode(x)


class Projected(nn.Module):
    """[N, D] -> [N] int64: a search in the space of few dimensions."""

    def __init__(self, into: nn.Module, squash: Callable[[Tensor], Tensor], inner: nn.Module):
        super().__init__()
        self.into = into
        self.squash = squash
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        codes: Tensor = self.inner(self.squash(self.into(x)))
        return codes


def _search(book: nn.Module) -> nn.Module:
    match book:
        case EmaCodebook() | GradientCodebook():
            return NearestCode(book.centroids.detach())
        case FsqGrid():
            return NearestOnGrid(book)
        case ProjectedCodebook():
            return Projected(book.into, book.squash, _search(book.inner))
    raise AssertionError(f"no search for {type(book).__name__}")


class FrozenCodebook(nn.Module):
    """A codebook as `ResidualQuantizer` calls it; code -1 is of a level that is not there."""

    table: Tensor

    def __init__(self, book: nn.Module) -> None:
        super().__init__()
        self.dim: int = book.dim  # type: ignore[assignment]
        self.codebook_size: int = book.codebook_size  # type: ignore[assignment]
        self.search = _search(book)
        vectors = book.decode(torch.arange(self.codebook_size))  # type: ignore[operator]
        self.register_buffer("table", F.pad(vectors.detach(), (0, 0, 0, 1)))

    def encode(self, x: Tensor) -> Tensor:
        """[N, D] -> [N] int64."""
        codes: Tensor = self.search(x)
        return codes

    def frozen_encode(self) -> Callable[[Tensor], Tensor]:
        """`encode`."""
        return self.encode

    def decode(self, codes: Tensor) -> Tensor:
        """[...] -> [..., D]; zeros for -1."""
        return F.embedding(torch.where(codes < 0, self.codebook_size, codes), self.table)
