"""The ConvNeXt block in one dimension.

A convolution along time per channel, then a small network per frame (Liu et al. 2022,
arXiv:2201.03545; for audio Siuzdak 2023, arXiv:2306.00814).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vqaudio.layers.conv import FrameConv1d
from vqaudio.layers.edges import Lengths
from vqaudio.layers.linear import FrameLinear
from vqaudio.layers.span import Span


class FrameNorm(nn.Module):
    """[B, T, C] -> [B, T, C] with unit mean square over the channels of each frame.

    RMS normalisation (Zhang and Sennrich 2019, arXiv:1910.07467). It has no gain: the linear layer
    that follows absorbs one. Statistics of one frame only, so that a frame never depends on how
    long the rest is.
    """

    def forward(self, x: Tensor) -> Tensor:
        power = x.float().square().mean(dim=-1, keepdim=True)
        return x * torch.rsqrt(power + 1e-6).to(x.dtype)


class ConvNeXtBlock(nn.Module):
    """[B, T, C] -> [B, T, C]."""

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 7,
        expansion: int = 3,
        scale: float = 1.0,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.mix_time = FrameConv1d(channels, channels, kernel_size, groups=channels, causal=causal)
        self.mix_channels = nn.Sequential(
            FrameNorm(),
            FrameLinear(channels, expansion * channels),
            nn.GELU(),
            FrameLinear(expansion * channels, channels),
        )
        self.scale = nn.Parameter(torch.full((channels, 1), scale))

    def forward(self, x: Tensor, lengths: Lengths = None) -> Tensor:
        x, y = self.mix_time.beside(x, lengths)
        # The GELU, which has a place because weights are named by theirs, is part of the product.
        norm, widen, _, narrow = self.mix_channels
        y = narrow(widen(norm(y), gelu=True))
        return torch.addcmul(x, self.scale[:, 0], y)

    def needs(self, span: Span) -> Span:
        return self.mix_time.needs(span)
