"""Between samples and frames: a spectral front end and its counterpart at the other end.

Frame t belongs to samples t * hop_length to (t + 1) * hop_length - 1. A centred window has its
middle on the middle of these samples, a causal one ends with them. Analysis and synthesis place
their windows alike.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vqaudio.layers.edges import Flow, Lengths, surround, zero_beyond
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

    def forward(self, waveform: Tensor, lengths: Lengths = None) -> Tensor:
        samples = surround(
            waveform.float(),
            lengths,
            left=-self.offset,
            extent=self.window_length,
            stride=self.hop_length,
        ).squeeze(1)
        windows = samples.unfold(-1, self.window_length, self.hop_length) * self.window
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

    def forward(self, features: Tensor, lengths: Lengths = None) -> Tensor:
        level, phase = features.float().chunk(2, dim=1)
        # A limit of +40 dB full scale keeps an untrained network from overflowing.
        spectrum = torch.polar(level.clamp(max=math.log(100.0)).exp(), phase)
        windows = torch.fft.irfft(spectrum.transpose(1, 2), n=self.window_length, norm="forward")
        present = zero_beyond(torch.ones_like(level[:, :1]), lengths).transpose(1, 2)
        weights = self.window * present
        sums = self._overlap_add(torch.stack([windows * (0.5 * weights), weights], dim=1))
        num_samples = features.shape[-1] * self.hop_length
        if isinstance(lengths, Flow):
            sums = lengths.overlap(sums, num_samples)
            lengths.upsample(self.hop_length, left=-self.offset)
        else:
            sums = sums[..., -self.offset : num_samples - self.offset]
        return sums[:, :1] / sums[:, 1:].clamp(min=1e-9)

    def _overlap_add(self, windows: Tensor) -> Tensor:
        """[B, C, T, window_length] -> [B, C, (T - 1) * hop_length + window_length]."""
        batch, channels, frames, _ = windows.shape
        hops = self.window_length // self.hop_length
        parts = windows.view(batch, channels, frames, hops, self.hop_length)
        total = windows.new_zeros(batch, channels, frames + hops - 1, self.hop_length)
        for hop in range(hops):
            total[:, :, hop : hop + frames] += parts[..., hop, :]
        return total.flatten(2)

    def needs(self, span: Span) -> Span:
        return Span(
            -(-(span.first - self.offset - self.window_length + 1) // self.hop_length),
            (span.last - self.offset) // self.hop_length,
        )
