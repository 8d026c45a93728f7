"""Products of vectors and weights that come out the same however many vectors there are."""

from __future__ import annotations

import platform
from typing import Protocol, runtime_checkable

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


class Packed:
    """A layer's weights in the order in which oneDNN reads them fastest, while they stay.

    A quarter to a third faster than `linear` with the GELU that may follow, which oneDNN computes
    while the products are in the processor's cache (docs/performance.md). Rows come out the same to
    the last bit however many there are, and with any number of threads. In float32 on x86 alone,
    and without gradients; elsewhere, and for weights that have changed since, it is `linear`.

    A copy or a pickle of a layer begins with nothing packed.
    """

    def __init__(self) -> None:
        self._weight: Tensor | None = None
        self._origin: tuple[int, int] | None = None

    def pack(self, weight: Tensor) -> None:
        """[out, C]: what `multiply` will be given."""
        self.clear()
        if can_pack(weight):
            contiguous = weight.detach().contiguous()
            self._weight = torch.ops.mkldnn._reorder_linear_weight(contiguous, TYPICAL_ROWS)
            self._origin = _state_of(weight)

    def clear(self) -> None:
        self._weight = self._origin = None

    def multiply(
        self, x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False
    ) -> Tensor:
        """As `linear`; with `gelu` the GELU of it."""
        if not self.serves(x, weight):
            plain = linear(x, weight, bias)
            return F.gelu(plain) if gelu else plain
        rows, shape = _rows(x)
        activation, algorithm = ("gelu", "none") if gelu else ("none", "")
        y: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows, self._weight, bias, activation, [], algorithm
        )
        return y[: shape.numel()].view(*shape, len(weight))

    def serves(self, x: Tensor, weight: Tensor) -> bool:
        """Whether what is packed is `weight` as it is now, and oneDNN can multiply `x` with it."""
        return (
            self._weight is not None
            and not torch.compiler.is_compiling()
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and x.device.type == "cpu"
            and x.dtype == torch.float32
            and x.shape[-1] == weight.shape[1]
            and self._origin == _state_of(weight)
        )

    def __reduce__(self) -> tuple[type[Packed], tuple[()]]:
        return Packed, ()


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN multiplies with these weights: float32 on an x86 processor."""
    # On others oneDNN hands the work on, and nobody has looked at the last bits.
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and not weight.is_inference()
        and platform.machine() in ("x86_64", "AMD64")
        and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    )


def _state_of(weight: Tensor) -> tuple[int, int]:
    """Another one where other numbers have been written, but for what a fused optimiser writes."""
    return weight.data_ptr(), weight._version


@runtime_checkable
class Freezing(Protocol):
    """A layer that computes faster when its weights stay."""

    def freeze(self) -> None:
        """Get ready for that; `train()` takes it back."""
        ...


def freeze(network: nn.Module) -> None:
    """Let all layers of `network`, which is in evaluation mode, get ready for weights that stay."""
    assert not network.training, "what learns does not stay"
    for layer in network.modules():
        if isinstance(layer, Freezing):
            layer.freeze()


class FrameLinear(nn.Linear):
    """[..., C] -> [..., out]: nn.Linear by `linear`, or by weights that are packed."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.packed = Packed()

    def freeze(self) -> None:
        self.packed.pack(self.weight)

    def train(self, mode: bool = True) -> FrameLinear:
        if mode:
            self.packed.clear()
        return super().train(mode)

    def forward(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        """With `gelu` the GELU of it."""
        return self.packed.multiply(x, self.weight, self.bias, gelu=gelu)
