"""Convolutions along time with exact lengths, causal or centred."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.layers.span import Span


def zero_beyond(x: Tensor, lengths: Tensor | None) -> Tensor:
    """[B, C, T], [B] -> [B, C, T] with zeros in each item from its length on.

    `lengths` None means that all items are T long.
    """
    if lengths is None:
        return x
    steps = torch.arange(x.shape[-1], device=x.device)
    return x.masked_fill((steps >= lengths[:, None])[:, None], 0.0)


class Conv1d(nn.Module):
    """[B, C, T] -> [B, out_channels, ceil(T / stride)].

    Zeros stand before the first and after the last step. Output step t is computed around input
    steps t * stride to (t + 1) * stride - 1; `causal` moves the window so that it ends there.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            in_channels, out_channels, kernel_size, stride=stride, dilation=dilation, groups=groups
        )
        self.stride = stride
        self.extent = (kernel_size - 1) * dilation + 1
        assert self.extent >= stride, "a kernel shorter than its stride skips input"
        padding = self.extent - stride
        self.left = padding if causal else padding // 2

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        x = zero_beyond(x, lengths)
        steps = -(-x.shape[-1] // self.stride)
        right = (steps - 1) * self.stride + self.extent - self.left - x.shape[-1]
        if self.left or right:
            x = F.pad(x, (self.left, right))
        y: Tensor = self.conv(x)
        return y

    def needs(self, span: Span) -> Span:
        return Span(
            span.first * self.stride - self.left,
            span.last * self.stride - self.left + self.extent - 1,
        )


class ConvTranspose1d(nn.Module):
    """[B, C, T] -> [B, out_channels, T * stride], kernel of two strides.

    `causal` lets an output step depend on input steps up to its own and no later one.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, causal: bool = False
    ) -> None:
        super().__init__()
        self.extent = 2 * stride
        self.conv = nn.ConvTranspose1d(in_channels, out_channels, self.extent, stride=stride)
        self.stride = stride
        self.left = 0 if causal else (self.extent - stride) // 2

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        y: Tensor = self.conv(zero_beyond(x, lengths))
        return y[..., self.left : self.left + x.shape[-1] * self.stride]

    def needs(self, span: Span) -> Span:
        # Input step t reaches output steps t * stride - left to t * stride - left + extent - 1.
        return Span(
            -(-(span.first + self.left - self.extent + 1) // self.stride),
            (span.last + self.left) // self.stride,
        )
