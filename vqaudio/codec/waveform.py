"""The waveform family: strided convolutions at the sample rate.

The layout of SEANet as SoundStream and EnCodec use it (Zeghidour et al. 2021, arXiv:2107.03312;
Defossez et al. 2022, arXiv:2210.13438): dilated residual units, then a strided convolution, per
stage; the decoder mirrors the encoder.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.codec.config import WaveformConfig
from vqaudio.layers import (
    Conv1d,
    ConvTranspose1d,
    Lengths,
    Span,
    longer,
    needs_through,
    shorter,
)

DILATIONS = (1, 3, 9)
"""Of the residual units of each stage, as in SoundStream."""


class ResidualUnit(nn.Module):
    """[B, C, T] -> [B, C, T]."""

    def __init__(self, channels: int, *, dilation: int, causal: bool) -> None:
        super().__init__()
        self.mix_time = Conv1d(channels, channels, 7, dilation=dilation, causal=causal)
        self.mix_channels = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, lengths: Lengths = None) -> Tensor:
        wide = self.mix_time.surround(x, lengths)
        y: Tensor = self.mix_channels(F.elu(self.mix_time.conv(F.elu(wide))))
        return self.mix_time.middle(wide) + y

    def needs(self, span: Span) -> Span:
        return self.mix_time.needs(span)


def _units(channels: int, causal: bool) -> nn.ModuleList:
    return nn.ModuleList(ResidualUnit(channels, dilation=d, causal=causal) for d in DILATIONS)


class DownStage(nn.Module):
    """[B, C, T] -> [B, 2 C, ceil(T / stride)]."""

    def __init__(self, channels: int, *, stride: int, causal: bool) -> None:
        super().__init__()
        self.units = _units(channels, causal)
        self.resample = Conv1d(channels, 2 * channels, 2 * stride, stride=stride, causal=causal)

    def forward(self, x: Tensor, lengths: Lengths = None) -> Tensor:
        for unit in self.units:
            x = unit(x, lengths)
        y: Tensor = self.resample(F.elu(x), lengths)
        return y

    def needs(self, span: Span) -> Span:
        return needs_through([*self.units, self.resample], span)


class UpStage(nn.Module):
    """[B, 2 C, T] -> [B, C, T * stride]."""

    def __init__(self, channels: int, *, stride: int, causal: bool) -> None:
        super().__init__()
        self.stride = stride
        self.resample = ConvTranspose1d(2 * channels, channels, stride=stride, causal=causal)
        self.units = _units(channels, causal)

    def forward(self, x: Tensor, lengths: Lengths = None) -> Tensor:
        x = self.resample(F.elu(x), lengths)
        lengths = longer(lengths, self.stride)
        for unit in self.units:
            x = unit(x, lengths)
        return x

    def needs(self, span: Span) -> Span:
        return needs_through([self.resample, *self.units], span)


class WaveformEncoder(nn.Module):
    """[B, 1, S] -> [B, D, ceil(S / hop_length)]."""

    def __init__(self, config: WaveformConfig, *, dim: int, causal: bool) -> None:
        super().__init__()
        width = config.width
        self.strides = config.strides
        self.widen = Conv1d(1, width, 7, causal=causal)
        self.stages = nn.ModuleList(
            DownStage(width << level, stride=stride, causal=causal)
            for level, stride in enumerate(config.strides)
        )
        self.project = Conv1d(width << len(config.strides), dim, 3, causal=causal)

    def forward(self, waveform: Tensor, num_samples: Lengths = None) -> Tensor:
        lengths = num_samples
        x = self.widen(waveform, lengths)
        for stage, stride in zip(self.stages, self.strides, strict=True):
            x = stage(x, lengths)
            lengths = shorter(lengths, stride)
        latents: Tensor = self.project(F.elu(x), lengths)
        return latents

    def needs(self, span: Span) -> Span:
        return needs_through([self.widen, *self.stages, self.project], span)


class WaveformDecoder(nn.Module):
    """[B, D, T] -> [B, 1, T * hop_length]."""

    def __init__(self, config: WaveformConfig, *, dim: int, causal: bool) -> None:
        super().__init__()
        width = config.width
        self.strides = tuple(reversed(config.strides))
        self.widen = Conv1d(dim, width << len(config.strides), 7, causal=causal)
        self.stages = nn.ModuleList(
            UpStage(width << len(self.strides) - 1 - level, stride=stride, causal=causal)
            for level, stride in enumerate(self.strides)
        )
        self.project = Conv1d(width, 1, 7, causal=causal)

    def forward(self, latents: Tensor, num_frames: Lengths = None) -> Tensor:
        lengths = num_frames
        x = self.widen(latents, lengths)
        for stage, stride in zip(self.stages, self.strides, strict=True):
            x = stage(x, lengths)
            lengths = longer(lengths, stride)
        waveform: Tensor = self.project(F.elu(x), lengths)
        return waveform

    def needs(self, span: Span) -> Span:
        return needs_through([self.widen, *self.stages, self.project], span)
