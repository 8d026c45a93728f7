"""A codebook in a space of few dimensions, between two learnt projections."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.layers import FrameLinear
from vqaudio.quantizers.bridges import Bridge, straight_through
from vqaudio.quantizers.codebook import Codebook, Quantized


def unit_length(x: Tensor) -> Tensor:
    """[..., d] -> [..., d] of length 1: what is left to compare is the angle."""
    return F.normalize(x, dim=-1)


class ProjectedCodebook(nn.Module):
    """x -> squash(W x) -> `inner` codebook -> W' e, with W and W' learnt by gradient.

    With an inner codebook on the unit sphere and `unit_length`, these are the factorized, cosine
    codes of ViT-VQGAN (Yu et al. 2021, arXiv:2110.04627, section 3.2) and DAC (arXiv:2306.06546);
    with `FsqGrid` and `torch.tanh`, FSQ. The vectors carry the gradient of both projections, so
    nothing bridges this codebook once more from outside.
    """

    def __init__(
        self,
        dim: int,
        inner: nn.Module,
        squash: Callable[[Tensor], Tensor],
        *,
        bridge: Bridge = straight_through,
    ) -> None:
        super().__init__()
        self.inner = inner
        self.dim = dim
        self.codebook_size = self.book.codebook_size
        self.squash = squash
        self.bridge = bridge
        self.into = FrameLinear(dim, self.book.dim)
        self.back = FrameLinear(self.book.dim, dim)

    @property
    def book(self) -> Codebook:
        """The inner codebook by its protocol."""
        return self.inner  # type: ignore[return-value]

    @property
    def started(self) -> bool:
        """Whether a batch has placed the codes."""
        return self.book.started

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Quantized:
        """x [..., D], mask [...] bool, true where a vector counts."""
        with torch.autocast(x.device.type, enabled=False):
            small = self.squash(self.into(x.float()))
            answer = self.book(small, mask)
            vectors = self.back(self.bridge(small, answer.vectors))
            return answer._replace(vectors=vectors, left=x.float() - vectors)

    def encode(self, x: Tensor) -> Tensor:
        """[..., D] -> [...] int64."""
        return self.frozen_encode()(x)

    def frozen_encode(self) -> Callable[[Tensor], Tensor]:
        """`encode` with the inner codebook as it is now."""
        inner = self.book.frozen_encode()

        @torch.no_grad()
        def encode(x: Tensor) -> Tensor:
            return inner(self.squash(self.into(x.float())))

        return encode

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """[...] -> [..., D]."""
        vectors: Tensor = self.back(self.book.decode(codes))
        return vectors

    def stored(self) -> dict[str, Tensor]:
        projections = {
            f"{side}.{name}": weight
            for side, layer in (("into", self.into), ("back", self.back))
            for name, weight in layer.state_dict().items()
        }
        return projections | self.book.stored()

    @torch.no_grad()
    def restore(self, stored: dict[str, Tensor]) -> None:
        for side, layer in (("into", self.into), ("back", self.back)):
            layer.load_state_dict(
                {name: stored.pop(f"{side}.{name}") for name in ("weight", "bias")}
            )
        self.book.restore(stored)
