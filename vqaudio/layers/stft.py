"""Between samples and frames: a spectral front end and its counterpart at the other end.

Frame t belongs to samples t * hop_length to (t + 1) * hop_length - 1. A centred window has its
middle on the middle of these samples, a causal one ends with them. Analysis and synthesis place
their windows alike.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.layers.edges import Flow, Lengths, surround, zero_beyond
from vqaudio.layers.span import Span

FLOOR = 1e-5
"""Spectral magnitude (1 = a sine of full scale) under which nothing is told apart: -100 dB."""

TINY = 1e-30
"""Keeps the slope of a square root finite at zero."""


def _window(length: int) -> Tensor:
    """A Hann window sampled between its zeros, so that no sample has weight zero."""
    return torch.sin(math.pi * (torch.arange(length) + 0.5) / length).square()


def _offset(window_length: int, hop_length: int, causal: bool) -> int:
    """Where the window of frame 0 starts, in samples; never positive."""
    extra = window_length - hop_length
    assert extra >= 0, "a window shorter than the hop skips samples"
    return -extra if causal else -(extra // 2)


SHORT = 1e-3
"""Length of a direction that hardly points anywhere."""


class Fourier(Protocol):
    """Between samples, the windows that overlap on them, and their spectra.

    N samples a window, F = N // 2 + 1 bins.
    """

    def cut(self, samples: Tensor) -> Tensor:
        """[B, (T - 1) * hop_length + N] -> windows [B, T, N]."""
        ...

    def spectra(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, N] -> real and imaginary parts [B, T, F]."""
        ...

    def windows(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Spectra [B, T, F], each -> N times their windows [B, T, N]."""
        ...

    def overlap_add(self, windows: Tensor) -> Tensor:
        """[B, T, N] -> sums [B, 1, (T - 1) * hop_length + N]."""
        ...


class FastFourier:
    """By torch's FFT."""

    def __init__(self, window_length: int, hop_length: int) -> None:
        self.window_length = window_length
        self.hop_length = hop_length

    def cut(self, samples: Tensor) -> Tensor:
        return samples.unfold(-1, self.window_length, self.hop_length)

    def spectra(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        spectrum = torch.fft.rfft(windows)
        # Parts of their own: torch is three times as fast with real numbers as with complex ones.
        return spectrum.real.contiguous(), spectrum.imag.contiguous()

    def windows(self, real: Tensor, imaginary: Tensor) -> Tensor:
        spectrum = torch.complex(real, imaginary)
        windows: Tensor = torch.fft.irfft(spectrum, n=self.window_length, norm="forward")
        return windows

    def overlap_add(self, windows: Tensor) -> Tensor:
        batch, frames, _ = windows.shape
        hops = self.window_length // self.hop_length
        parts = windows.view(batch, frames, hops, self.hop_length)
        total = windows.new_zeros(batch, frames + hops - 1, self.hop_length)
        for hop in range(hops):
            total[:, hop : hop + frames] += parts[:, :, hop]
        return total.flatten(1).unsqueeze(1)


class Spectra(NamedTuple):
    """What the ear hears of frames, each [B, T, F]."""

    level: Tensor
    """Logarithm of the magnitude, about -2 (silence) to 2 (full scale)."""
    real: Tensor
    """Of the spectrum, compressed to the magnitude |X| ** 0.3."""
    imaginary: Tensor


class SpectralAnalysis(nn.Module):
    """[B, 1, S] -> Spectra of ceil(S / hop_length) frames.

    The complex part is compressed to the magnitude |X| ** 0.3, about as loud as it sounds, so
    that weak harmonics and their phase are visible beside strong ones.
    """

    window: Tensor

    def __init__(self, *, window_length: int, hop_length: int, causal: bool = False) -> None:
        super().__init__()
        self.window_length = window_length
        self.hop_length = hop_length
        self.offset = _offset(window_length, hop_length, causal)
        self.fourier: Fourier = FastFourier(window_length, hop_length)
        window = _window(window_length)
        # Scaled so that a sine of full scale has magnitude 1 at its bin.
        self.register_buffer("window", window * (2.0 / window.sum()), persistent=False)

    @property
    def num_bins(self) -> int:
        return self.window_length // 2 + 1

    def forward(self, waveform: Tensor, lengths: Lengths = None) -> Spectra:
        samples = surround(
            waveform.float(),
            lengths,
            left=-self.offset,
            extent=self.window_length,
            stride=self.hop_length,
        ).squeeze(1)
        real, imaginary = self.fourier.spectra(self.fourier.cut(samples) * self.window)
        power = torch.addcmul(real.square(), imaginary, imaginary)
        log = ((power + TINY).sqrt() + FLOOR).log()
        compression = (-0.7 * log).exp_()
        return Spectra((log + 6.0) / 3.0, real * compression, imaginary * compression)

    def needs(self, span: Span) -> Span:
        return Span(
            span.first * self.hop_length + self.offset,
            span.last * self.hop_length + self.offset + self.window_length - 1,
        )


class SpectralSynthesis(nn.Module):
    """[B, T, features] -> [B, 1, T * hop_length]: log magnitude and phase to overlapping windows.

    The inverse-STFT head of Vocos (Siuzdak 2023, arXiv:2306.00814). The first features are the
    logarithms of magnitudes, one for each bin. After them come, where `phase` is "angle", phases in
    radians; where it is "direction", real and then imaginary parts of numbers that have the phases
    and any size, as in APNet (Ai and Ling 2023, arXiv:2305.07952): an angle has to be learnt round
    and round, a direction from anywhere. The sum of the windows is divided by the sum of their
    weights, also at the ends, where fewer windows overlap.
    """

    window: Tensor

    def __init__(
        self,
        *,
        window_length: int,
        hop_length: int,
        phase: Literal["angle", "direction"] = "angle",
        causal: bool = False,
    ) -> None:
        super().__init__()
        assert window_length % hop_length == 0, "overlap-add needs a whole number of hops"
        self.window_length = window_length
        self.hop_length = hop_length
        self.hops = window_length // hop_length
        self.phase = phase
        self.offset = _offset(window_length, hop_length, causal)
        self.fourier: Fourier = FastFourier(window_length, hop_length)
        self.register_buffer("window", _window(window_length), persistent=False)

    @property
    def num_bins(self) -> int:
        return self.window_length // 2 + 1

    @property
    def num_features(self) -> int:
        return (2 if self.phase == "angle" else 3) * self.num_bins

    def forward(self, features: Tensor, lengths: Lengths = None) -> Tensor:
        assert features.shape[-1] == self.num_features
        level, *phase = features.float().chunk(self.num_features // self.num_bins, dim=-1)
        # A limit of +40 dB full scale keeps an untrained network from overflowing.
        magnitude = level.clamp(max=math.log(100.0)).exp()
        turned = _by_angles if self.phase == "angle" else _by_directions
        windows = self.fourier.windows(*turned(magnitude, *phase))
        windows = windows * (0.5 * self.window)
        present = level.new_ones(level.shape[0], 1, level.shape[1])
        if lengths is None:
            present = present[:1]  # the same for all
        else:
            windows = zero_beyond(windows, lengths, dim=-2)
            present = zero_beyond(present, lengths)
        num_samples = features.shape[1] * self.hop_length
        margin = self.hops - 1
        if isinstance(lengths, Flow):
            weight = self._weight(lengths.remember(present, margin))
            total = lengths.overlap(self.fourier.overlap_add(windows), num_samples)
            lengths.upsample(self.hop_length, left=-self.offset)
            return total / weight.clamp(min=1e-9)
        weight = self._weight(F.pad(present, (margin, margin)))
        sound = slice(-self.offset, num_samples - self.offset)
        return self.fourier.overlap_add(windows)[..., sound] / weight[..., sound].clamp(min=1e-9)

    def _weight(self, present: Tensor) -> Tensor:
        """[B, 1, n + hops - 1], 1 for a frame that is there -> [B, 1, n * hop_length].

        The sum of the windows over a hop is that of the frames which it and the ones before begin.
        """
        count = present.shape[-1] - self.hops + 1
        latest_first = self.window.view(self.hops, self.hop_length).flip(0)
        around = torch.stack([present[..., hop : hop + count] for hop in range(self.hops)], dim=-1)
        return (around @ latest_first).flatten(2)

    def needs(self, span: Span) -> Span:
        return Span(
            -(-(span.first - self.offset - self.window_length + 1) // self.hop_length),
            (span.last - self.offset) // self.hop_length,
        )


def _by_angles(magnitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts."""
    return magnitude * phase.cos(), magnitude * phase.sin()


def _by_directions(magnitude: Tensor, real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts; both are zero, and the bin silent, where there is no direction."""
    power = torch.addcmul(real.square(), imaginary, imaginary) + SHORT**2
    scale = magnitude * power.rsqrt()
    return real * scale, imaginary * scale
