"""Convolutions along time with exact lengths, causal or centred."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.layers.edges import Flow, Lengths, surround, zero_beyond
from vqaudio.layers.span import Span


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

    def forward(self, x: Tensor, lengths: Lengths = None) -> Tensor:
        y: Tensor = self.conv(self.surround(x, lengths))
        return y

    def surround(self, x: Tensor, lengths: Lengths) -> Tensor:
        """[B, C, T] -> [B, C, T and what lies beside it]: all that `conv` looks at."""
        return surround(x, lengths, left=self.left, extent=self.extent, stride=self.stride)

    def middle(self, surrounded: Tensor) -> Tensor:
        """The input steps that the output steps of `conv(surrounded)` stand for; stride 1."""
        assert self.stride == 1
        return surrounded[..., self.left : self.left + surrounded.shape[-1] - self.extent + 1]

    def needs(self, span: Span) -> Span:
        return Span(
            span.first * self.stride - self.left,
            span.last * self.stride - self.left + self.extent - 1,
        )


class FrameConv1d(nn.Module):
    """[B, T, C] -> [B, T, out_channels]: a convolution along frames with the channels last.

    As `Conv1d` with stride 1. Where all else is done frame by frame, nothing has to be transposed,
    and oneDNN computes depthwise convolutions in this order in half the time; torch lets it do so
    for images, so that a sequence is one of height 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        groups: int = 1,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, groups=groups)
        self.extent = kernel_size
        self.left = kernel_size - 1 if causal else (kernel_size - 1) // 2

    def forward(self, x: Tensor, lengths: Lengths = None) -> Tensor:
        return self.beside(x, lengths)[1]

    def beside(self, x: Tensor, lengths: Lengths) -> tuple[Tensor, Tensor]:
        """The frames that the results stand for (in a stream earlier ones than `x`), and these."""
        if lengths is None and 2 * self.left == self.extent - 1:
            return x, self._convolve(x, self.left)  # the zeros at the ends are never written
        wide = surround(x, lengths, left=self.left, extent=self.extent, dim=-2)
        middle = wide[:, self.left : self.left + wide.shape[1] - self.extent + 1]
        return middle, self._convolve(wide, 0)

    def _convolve(self, x: Tensor, padding: int) -> Tensor:
        """[B, T, C] -> [B, T + 2 padding - extent + 1, out_channels]."""
        image, conv = x.transpose(1, 2).unsqueeze(2), self.conv
        weight = conv.weight.unsqueeze(2)
        y = F.conv2d(image, weight, conv.bias, padding=(0, padding), groups=conv.groups)
        return y.squeeze(2).transpose(1, 2)

    @torch.no_grad()
    def look_back(self) -> None:
        """In a causal layer that holds the weights of a centred one: make them causal.

        Of the kernel [out, in / groups, k] each weight stays with its frame; those of later frames
        are lost, earlier frames get zeros.
        """
        assert self.left == self.extent - 1, "only a causal layer looks back"
        weight = self.conv.weight
        later = self.extent // 2
        weight.copy_(F.pad(weight[..., : self.extent - later], (later, 0)))

    def needs(self, span: Span) -> Span:
        return Span(span.first - self.left, span.last - self.left + self.extent - 1)


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

    def forward(self, x: Tensor, lengths: Lengths = None) -> Tensor:
        num_steps = x.shape[-1] * self.stride
        if isinstance(lengths, Flow):
            x, first = lengths.remember(x, 1), self.stride
            lengths.upsample(self.stride, left=self.left)
        else:
            x, first = zero_beyond(x, lengths), self.left
        y: Tensor = self.conv(x)
        return y[..., first : first + num_steps]

    def needs(self, span: Span) -> Span:
        # Input step t reaches output steps t * stride - left to t * stride - left + extent - 1.
        return Span(
            -(-(span.first + self.left - self.extent + 1) // self.stride),
            (span.last + self.left) // self.stride,
        )
