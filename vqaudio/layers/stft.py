"""Between samples and frames: a spectral front end and its counterpart at the other end.

Frame t belongs to samples t * hop_length to (t + 1) * hop_length - 1. A centred window has its
middle on the middle of these samples, a causal one ends with them. Analysis and synthesis place
their windows alike.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.layers.conv import zero_beyond
from vqaudio.layers.span import Span

FLOOR = 1e-5
"""Spectral magnitude (1 = a sine of full scale) under which nothing is told apart: -100 dB."""


def _window(length: int) -> Tensor:
    """A Hann window sampled between its zeros, so that no sample has weight zero."""
    return torch.sin(math.pi * (torch.arange(length) + 0.5) / length).square()


def _offset(window_length: int, hop_length: int, causal: bool) -> int:
    """Where the window of frame 0 starts, in samples; never positive."""
    extra = window_length - hop_length
    assert extra >= 0, "a window shorter than the hop skips samples"
    return -extra if causal else -(extra // 2)


class SpectralAnalysis(nn.Module):
    """[B, 1, S] -> [B, 3 F, ceil(S / hop_length)]: log magnitude and compressed real, imaginary.

    The complex part is compressed to the magnitude |X| ** 0.3, about as loud as it sounds, so
    that weak harmonics and their phase are visible beside strong ones.
    """

    window: Tensor

    def __init__(self, *, window_length: int, hop_length: int, causal: bool = False) -> None:
        super().__init__()
        self.window_length = window_length
        self.hop_length = hop_length
        self.offset = _offset(window_length, hop_length, causal)
        window = _window(window_length)
        # Scaled so that a sine of full scale has magnitude 1 at its bin.
        self.register_buffer("window", window * (2.0 / window.sum()), persistent=False)

    @property
    def num_features(self) -> int:
        return 3 * (self.window_length // 2 + 1)

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor:
        samples = zero_beyond(waveform, lengths).float().squeeze(1)
        frames = -(-samples.shape[-1] // self.hop_length)
        end = (frames - 1) * self.hop_length + self.offset + self.window_length
        padded = F.pad(samples, (-self.offset, end - samples.shape[-1]))
        windows = padded.unfold(-1, self.window_length, self.hop_length) * self.window
        spectrum = torch.fft.rfft(windows).transpose(1, 2)
        magnitude = spectrum.abs() + FLOOR
        # Centred and scaled to the range of speech: about -2 (silence) to 2 (full scale).
        level = (magnitude.log() + 6.0) / 3.0
        compressed = spectrum * magnitude.pow(-0.7)
        return torch.cat([level, compressed.real, compressed.imag], dim=1)

    def needs(self, span: Span) -> Span:
        return Span(
            span.first * self.hop_length + self.offset,
            span.last * self.hop_length + self.offset + self.window_length - 1,
        )


class SpectralSynthesis(nn.Module):
    """[B, 2 F, T] -> [B, 1, T * hop_length]: log magnitude and phase to overlapping windows.

    The inverse-STFT head of Vocos (Siuzdak 2023, arXiv:2306.00814). The sum of the windows is
    divided by the sum of their weights, also at the ends, where fewer windows overlap.
    """

    window: Tensor

    def __init__(self, *, window_length: int, hop_length: int, causal: bool = False) -> None:
        super().__init__()
        assert window_length % hop_length == 0, "overlap-add needs a whole number of hops"
        self.window_length = window_length
        self.hop_length = hop_length
        self.offset = _offset(window_length, hop_length, causal)
        self.register_buffer("window", _window(window_length), persistent=False)

    @property
    def num_features(self) -> int:
        return 2 * (self.window_length // 2 + 1)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        level, phase = features.float().chunk(2, dim=1)
        # A limit of +40 dB full scale keeps an untrained network from overflowing.
        spectrum = torch.polar(level.clamp(max=math.log(100.0)).exp(), phase)
        windows = torch.fft.irfft(spectrum.transpose(1, 2), n=self.window_length, norm="forward")
        present = zero_beyond(torch.ones_like(level[:, :1]), lengths).transpose(1, 2)
        weights = self.window * present
        waveform = self._overlap_add(windows * (0.5 * weights)) / self._overlap_add(weights).clamp(
            min=1e-9
        )
        num_samples = features.shape[-1] * self.hop_length
        return waveform[:, None, -self.offset : num_samples - self.offset]

    def _overlap_add(self, windows: Tensor) -> Tensor:
        """[B, T, window_length] -> [B, (T - 1) * hop_length + window_length]."""
        batch, frames, _ = windows.shape
        hops = self.window_length // self.hop_length
        parts = windows.view(batch, frames, hops, self.hop_length)
        total = windows.new_zeros(batch, frames + hops - 1, self.hop_length)
        for hop in range(hops):
            total[:, hop : hop + frames] += parts[:, :, hop]
        return total.flatten(1)

    def needs(self, span: Span) -> Span:
        return Span(
            -(-(span.first - self.offset - self.window_length + 1) // self.hop_length),
            (span.last - self.offset) // self.hop_length,
        )
