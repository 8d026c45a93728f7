"""How the gradient of what was chosen reaches what was to be quantized.

A bridge has the value of `quantized` and a gradient for `x`; the choice itself has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Bridge = Callable[[Tensor, Tensor], Tensor]
"""x [..., D], quantized [..., D] -> [..., D]."""


def straight_through(x: Tensor, quantized: Tensor) -> Tensor:
    """The gradient passes as if nothing had been quantized (Bengio et al. 2013,
    arXiv:1308.3432)."""
    passed: Tensor = _StraightThrough.apply(x, quantized)
    return passed


class _StraightThrough(torch.autograd.Function):
    """x + sg[quantized - x] without computing it: the value to the last digit, and no memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, quantized: Tensor) -> Tensor:
        return quantized.view_as(quantized)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def rotation(x: Tensor, quantized: Tensor) -> Tensor:
    """The gradient turns and scales as x is turned and scaled to reach its code.

    quantized = s R x with s = |quantized| / |x| and R the rotation in the plane of both, which the
    gradient takes for constants (Fifty et al. 2024, arXiv:2410.06424, section 4.2):

        R x = x - 2 r (r . x) + 2 q (e . x),  e = x / |x|, q = quantized / |quantized|,
                                              r = (e + q) / |e + q|
    """
    with torch.no_grad():
        source, target = F.normalize(x, dim=-1), F.normalize(quantized, dim=-1)
        middle = F.normalize(source + target, dim=-1)
        from_length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.linalg.vector_norm(quantized, dim=-1, keepdim=True) / from_length
        # Padding and silence have no direction to turn from: their gradient passes as it is.
        lost = from_length < 1e-6
        scale = scale.masked_fill(lost, 1.0)
    turned: Tensor = scale * (
        x
        - 2 * middle * (middle * x).sum(dim=-1, keepdim=True)
        + 2 * target * (source * x).sum(dim=-1, keepdim=True)
    )
    turned = torch.where(lost, x, turned)
    return turned + (quantized - turned).detach()  # the value to the last digit


def own_gradient(x: Tensor, quantized: Tensor) -> Tensor:
    """For codebooks whose vectors carry a gradient already."""
    return quantized
