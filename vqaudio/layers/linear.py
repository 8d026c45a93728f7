"""Products of vectors and weights that come out the same however many vectors there are."""

from __future__ import annotations

import platform
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_ROWS = 16
"""Fewer are computed as so many. MKL multiplies few rows in another way than many, and adds in
another order: from 3 to 16 rows on, by the size of the weights, a row is the same to the last bit.
It costs next to nothing, as reading the weights takes longer than multiplying with them."""

TYPICAL_ROWS = 500
"""That oneDNN is told to pack weights for: the frames of 10 s of sound."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As F.linear: [..., C], [out, C], [out] -> [..., out]."""
    # Graphs are for runtimes that multiply in their own way, and for any number of vectors.
    if torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    rows, shape = _rows(x)
    return F.linear(rows, weight, bias)[: shape.numel()].view(*shape, len(weight))


def _rows(x: Tensor) -> tuple[Tensor, torch.Size]:
    """[..., C] -> vectors [N, C], contiguous, at least LEAST_ROWS; and the shape [...]."""
    shape = x.shape[:-1]
    size = shape.numel()
    # Others than contiguous ones are multiplied in yet another way.
    rows = x.contiguous().view(size, x.shape[-1])
    return (rows if size >= LEAST_ROWS else F.pad(rows, (0, 0, 0, LEAST_ROWS - size))), shape


class PackedLinear:
    """[..., C] -> [..., out] by weights that stay, kept in the order in which oneDNN reads them.

    A quarter to a third faster than `linear` with the GELU that may follow, which oneDNN computes
    while the products are in the processor's cache (docs/performance.md). Rows come out the same to
    the last bit however many there are, and with any number of threads.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """[out, C], [out], float32 on CPU."""
        pack = torch.ops.mkldnn._reorder_linear_weight
        self.out = len(weight)
        self.weight: Tensor = pack(weight.detach().contiguous(), TYPICAL_ROWS)
        self.bias = None if bias is None else bias.detach()

    def __call__(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        rows, shape = _rows(x)
        attribute, algorithm = ("gelu", "none") if gelu else ("none", "")
        y: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows, self.weight, self.bias, attribute, [], algorithm
        )
        return y[: shape.numel()].view(*shape, self.out)

    def __deepcopy__(self, memo: dict[int, Any]) -> PackedLinear:
        return self  # what never changes needs no copy, and torch cannot copy it


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN multiplies with these weights: float32 on an x86 processor."""
    # On others oneDNN hands the work on, and nobody has looked at the last bits.
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and platform.machine() in ("x86_64", "AMD64")
        and torch._C._has_mkldnn
    )


@runtime_checkable
class Freezing(Protocol):
    """A layer that computes faster when its weights stay; `train()` takes it back."""

    def freeze(self) -> None: ...


def freeze(network: nn.Module) -> None:
    """Let all layers of `network` get ready for weights that stay as they are."""
    for layer in network.modules():
        if isinstance(layer, Freezing):
            layer.freeze()


class FrameLinear(nn.Linear):
    """[..., C] -> [..., out]: nn.Linear by `linear`, with `gelu` and a GELU behind it."""

    packed: PackedLinear | None = None

    def freeze(self) -> None:
        self.packed = PackedLinear(self.weight, self.bias) if can_pack(self.weight) else None

    def train(self, mode: bool = True) -> FrameLinear:
        self.packed = None if mode else self.packed
        return super().train(mode)

    def forward(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        if self.packed is not None and not torch.compiler.is_compiling():
            return self.packed(x, gelu=gelu)
        y = linear(x, self.weight, self.bias)
        return F.gelu(y) if gelu else y
