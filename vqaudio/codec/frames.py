"""The frame-rate family: all layers but the first and the last run at the frame rate.

An order of magnitude cheaper than a convolution stack at the sample rate: the Fourier transform
does the down- and upsampling (as in Vocos, arXiv:2306.00814, for the decoder).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqaudio.codec.config import FramesConfig
from vqaudio.layers import (
    ConvNeXtBlock,
    FrameConv1d,
    FrameLinear,
    FrameNorm,
    Lengths,
    Packed,
    Span,
    Spectra,
    SpectralAnalysis,
    SpectralSynthesis,
    needs_through,
    shorter,
)


def _blocks(count: int, width: int, causal: bool) -> nn.ModuleList:
    # The small initial scale keeps a stack of residual blocks near the identity at the start.
    return nn.ModuleList(ConvNeXtBlock(width, scale=1 / count, causal=causal) for _ in range(count))


class SpectraLinear(nn.Module):
    """Spectra of F bins -> [B, T, out]: a linear layer on their three parts side by side."""

    def __init__(self, num_bins: int, out: int) -> None:
        super().__init__()
        # Stored, and drawn at first, as the convolution that model files have here.
        convolution = nn.Conv1d(3 * num_bins, out, 1)
        self.weight, self.bias = convolution.weight, convolution.bias
        self.packed = [Packed() for _ in Spectra._fields]

    def freeze(self) -> None:
        for packed, weight in zip(self.packed, self._weights(), strict=True):
            packed.pack(weight)

    def train(self, mode: bool = True) -> SpectraLinear:
        if mode:
            for packed in self.packed:
                packed.clear()
        return super().train(mode)

    def forward(self, spectra: Spectra) -> Tensor:
        # One by one: side by side, as one matrix, they would have to be copied first.
        level, real, imaginary = (
            packed.multiply(part, weight, bias)
            for packed, part, weight, bias in zip(
                self.packed, spectra, self._weights(), (self.bias, None, None), strict=True
            )
        )
        return level + real + imaginary

    def _weights(self) -> tuple[Tensor, ...]:
        """[out, F] for each part."""
        return self.weight[..., 0].chunk(3, dim=1)


class FramesEncoder(nn.Module):
    """[B, 1, S] -> [B, D, ceil(S / hop_length)]."""

    def __init__(self, config: FramesConfig, *, dim: int, causal: bool) -> None:
        super().__init__()
        self.analysis = SpectralAnalysis(
            window_length=config.window_length, hop_length=config.hop_length, causal=causal
        )
        self.widen = SpectraLinear(self.analysis.num_bins, config.width)
        self.blocks = _blocks(config.encoder_blocks, config.width, causal)
        self.project = nn.Sequential(FrameNorm(), FrameLinear(config.width, dim))

    def forward(self, waveform: Tensor, num_samples: Lengths = None) -> Tensor:
        spectra = self.analysis(waveform, num_samples)
        frames = shorter(num_samples, self.analysis.hop_length)
        x = self.widen(spectra)
        for block in self.blocks:
            x = block(x, frames)
        latents: Tensor = self.project(x).transpose(1, 2)
        return latents

    def needs(self, span: Span) -> Span:
        return needs_through([self.analysis, *self.blocks], span)


class FramesDecoder(nn.Module):
    """[B, D, T] -> [B, 1, T * hop_length]."""

    def __init__(self, config: FramesConfig, *, dim: int, causal: bool) -> None:
        super().__init__()
        width = config.decoder_width or config.width
        self.synthesis = SpectralSynthesis(
            window_length=config.window_length,
            hop_length=config.hop_length,
            phase=config.phase,
            causal=causal,
        )
        self.widen = FrameConv1d(dim, width, 7, causal=causal)
        self.blocks = _blocks(config.decoder_blocks, width, causal)
        self.project = nn.Sequential(FrameNorm(), _spectral_head(width, self.synthesis))

    def forward(self, latents: Tensor, num_frames: Lengths = None) -> Tensor:
        x = self.widen(latents.transpose(1, 2), num_frames)
        for block in self.blocks:
            x = block(x, num_frames)
        waveform: Tensor = self.synthesis(self.project(x), num_frames)
        return waveform

    def keep_blocks(self, places: Sequence[int]) -> None:
        """These alone, counted from 0. Blocks add to what they get: the others still fit."""
        self.blocks = nn.ModuleList(self.blocks[place] for place in places)

    def say_directions(self) -> None:
        """In place of angles: levels stay as they are, phases are learnt from the beginning."""
        self.synthesis.phase = "direction"
        bins, angles = self.synthesis.num_bins, self.project[1]
        assert isinstance(angles, FrameLinear)
        head = _spectral_head(angles.in_features, self.synthesis)
        with torch.no_grad():
            head.weight[:bins] = angles.weight[:bins]
            head.bias[:bins] = angles.bias[:bins]
        self.project[1] = head

    def needs(self, span: Span) -> Span:
        return needs_through([self.widen, *self.blocks, self.synthesis], span)


def _spectral_head(width: int, synthesis: SpectralSynthesis) -> FrameLinear:
    """Begins with the magnitudes of quiet speech and any phases."""
    head = FrameLinear(width, synthesis.num_features)
    bins = synthesis.num_bins
    nn.init.constant_(head.bias[:bins], -7.0)
    if synthesis.phase == "angle":
        nn.init.uniform_(head.bias[bins:], -math.pi, math.pi)
    else:
        nn.init.zeros_(head.bias[bins:])
    return head
