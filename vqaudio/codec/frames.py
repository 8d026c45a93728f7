"""The frame-rate family: all layers but the first and the last run at the frame rate.

An order of magnitude cheaper than a convolution stack at the sample rate: the Fourier transform
does the down- and upsampling (as in Vocos, arXiv:2306.00814, for the decoder).
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from vqaudio.codec.config import FramesConfig
from vqaudio.layers import (
    Conv1d,
    ConvNeXtBlock,
    FrameNorm,
    Span,
    SpectralAnalysis,
    SpectralSynthesis,
    needs_through,
)


def _blocks(count: int, width: int, causal: bool) -> nn.ModuleList:
    # The small initial scale keeps a stack of residual blocks near the identity at the start.
    return nn.ModuleList(ConvNeXtBlock(width, scale=1 / count, causal=causal) for _ in range(count))


class FramesEncoder(nn.Module):
    """[B, 1, S] -> [B, D, ceil(S / hop_length)]."""

    def __init__(self, config: FramesConfig, *, dim: int, causal: bool) -> None:
        super().__init__()
        self.analysis = SpectralAnalysis(
            window_length=config.window_length, hop_length=config.hop_length, causal=causal
        )
        self.widen = nn.Conv1d(self.analysis.num_features, config.width, 1)
        self.blocks = _blocks(config.encoder_blocks, config.width, causal)
        self.norm = FrameNorm()
        self.project = nn.Conv1d(config.width, dim, 1)

    def forward(self, waveform: Tensor, num_samples: Tensor | None = None) -> Tensor:
        frames = None if num_samples is None else -(-num_samples // self.analysis.hop_length)
        x = self.widen(self.analysis(waveform, num_samples))
        for block in self.blocks:
            x = block(x, frames)
        latents: Tensor = self.project(self.norm(x))
        return latents

    def needs(self, span: Span) -> Span:
        return needs_through([self.analysis, *self.blocks], span)  # type: ignore[list-item]


class FramesDecoder(nn.Module):
    """[B, D, T] -> [B, 1, T * hop_length]."""

    def __init__(self, config: FramesConfig, *, dim: int, causal: bool) -> None:
        super().__init__()
        self.synthesis = SpectralSynthesis(
            window_length=config.window_length, hop_length=config.hop_length, causal=causal
        )
        self.widen = Conv1d(dim, config.width, 7, causal=causal)
        self.blocks = _blocks(config.decoder_blocks, config.width, causal)
        self.norm = FrameNorm()
        self.project = nn.Conv1d(config.width, self.synthesis.num_features, 1)
        self._start_quiet()

    def _start_quiet(self) -> None:
        """Let the first magnitudes be those of quiet speech and the first phases be anything."""
        bins = self.synthesis.num_features // 2
        assert self.project.bias is not None
        nn.init.constant_(self.project.bias[:bins], -7.0)
        nn.init.uniform_(self.project.bias[bins:], -math.pi, math.pi)

    def forward(self, latents: Tensor, num_frames: Tensor | None = None) -> Tensor:
        x = self.widen(latents, num_frames)
        for block in self.blocks:
            x = block(x, num_frames)
        waveform: Tensor = self.synthesis(self.project(self.norm(x)), num_frames)
        return waveform

    def needs(self, span: Span) -> Span:
        return needs_through([self.widen, *self.blocks, self.synthesis], span)  # type: ignore[list-item]
