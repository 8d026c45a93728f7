"""The Fourier transforms of the layers as matrix products, in real arithmetic.

ONNX knows no complex numbers. Its DFT operator gives real and imaginary parts, but onnxruntime
computes it slower than the product (docs/onnx.md has the figures).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.layers import Flow, Lengths, SpectralAnalysis, SpectralSynthesis
from vqaudio.layers.edges import surround, zero_beyond
from vqaudio.layers.stft import FLOOR


def _waves(window_length: int) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi f n / window_length, each [window_length, F] float64."""
    bins = window_length // 2 + 1
    # The product is reduced while it is a whole number: the angles are exact to the last digit.
    turns = torch.outer(torch.arange(window_length), torch.arange(bins)) % window_length
    angles = turns.double() * (2 * math.pi / window_length)
    return angles.cos(), angles.sin()


class RealAnalysis(nn.Module):
    """As SpectralAnalysis: [B, 1, S] -> [B, 3 F, ceil(S / hop_length)]."""

    transform: Tensor

    def __init__(self, analysis: SpectralAnalysis) -> None:
        super().__init__()
        self.window_length = analysis.window_length
        self.hop_length = analysis.hop_length
        self.offset = analysis.offset
        cos, sin = _waves(self.window_length)
        window = analysis.window.double()[:, None]
        self.register_buffer("transform", torch.cat([window * cos, -window * sin], 1).float())

    def forward(self, waveform: Tensor, lengths: Lengths = None) -> Tensor:
        samples = surround(
            waveform, lengths, left=-self.offset, extent=self.window_length, stride=self.hop_length
        )
        real, imag = (self._windows(samples) @ self.transform).transpose(1, 2).chunk(2, dim=1)
        magnitude = (real.square() + imag.square()).sqrt() + FLOOR
        level = magnitude.log()
        compression = (-0.7 * level).exp()
        return torch.cat([(level + 6.0) / 3.0, real * compression, imag * compression], dim=1)

    def _windows(self, samples: Tensor) -> Tensor:
        """[B, 1, (T - 1) hop_length + window_length] -> [B, T, window_length]."""
        hops = self.window_length // self.hop_length
        frames = samples.shape[-1] // self.hop_length - hops + 1
        parts = samples.reshape(samples.shape[0], frames + hops - 1, self.hop_length)
        return torch.cat([parts[:, hop : hop + frames] for hop in range(hops)], dim=-1)


class RealSynthesis(nn.Module):
    """As SpectralSynthesis: [B, 2 F, T] -> [B, 1, T * hop_length]."""

    window: Tensor
    transform: Tensor

    def __init__(self, synthesis: SpectralSynthesis) -> None:
        super().__init__()
        self.window_length = synthesis.window_length
        self.hop_length = synthesis.hop_length
        self.offset = synthesis.offset
        cos, sin = _waves(self.window_length)
        # All bins but the first and the one at half the rate stand for two, f and -f.
        twice = torch.full((cos.shape[1],), 2.0, dtype=torch.float64)
        twice[0] = 1.0
        if self.window_length % 2 == 0:
            twice[-1] = 1.0
        window = synthesis.window.double()
        inverse = torch.cat([cos * twice, -sin * twice], 1).T * (0.5 * window)
        self.register_buffer("window", synthesis.window.clone())
        self.register_buffer("transform", inverse.float())

    def forward(self, features: Tensor, lengths: Lengths = None) -> Tensor:
        level, phase = features.chunk(2, dim=1)
        magnitude = level.clamp(max=math.log(100.0)).exp()
        spectrum = torch.cat([magnitude * phase.cos(), magnitude * phase.sin()], dim=1)
        windows = spectrum.transpose(1, 2) @ self.transform
        present = zero_beyond(torch.ones_like(level[:, :1]), lengths).transpose(1, 2)
        sums = self._overlap_add(torch.stack([windows * present, self.window * present], dim=1))
        num_samples = features.shape[-1] * self.hop_length
        if isinstance(lengths, Flow):
            sums = lengths.overlap(sums, num_samples)
            lengths.upsample(self.hop_length, left=-self.offset)
        else:
            sums = sums[..., -self.offset : num_samples - self.offset]
        return sums[:, :1] / sums[:, 1:].clamp(min=1e-9)

    def _overlap_add(self, windows: Tensor) -> Tensor:
        """[B, C, T, window_length] -> [B, C, (T - 1) * hop_length + window_length]."""
        hops = self.window_length // self.hop_length
        parts = windows.reshape(*windows.shape[:-1], hops, self.hop_length)
        shifted = [F.pad(parts[..., hop, :], (0, 0, hop, hops - 1 - hop)) for hop in range(hops)]
        return torch.stack(shifted).sum(dim=0).flatten(2)
