"""The Fourier transforms of the layers as matrix products, in real arithmetic.

ONNX knows no complex numbers. Its DFT operator gives real and imaginary parts, but onnxruntime
takes 14 times as long for it as for a plain matrix product, and the halves below spare half of
that one.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.layers import Flow, Lengths, Spectra, SpectralAnalysis, SpectralSynthesis
from vqaudio.layers.edges import surround, zero_beyond
from vqaudio.layers.stft import FLOOR


class Fold(nn.Module):
    """The halves of windows laid on each other: half as many numbers to multiply with.

    cos takes the same value at the steps n and N - n of a period N, sin the opposite one.
    """

    cos: Tensor
    """[N // 2 + 1, F]."""
    sin: Tensor
    """[pairs, F]."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.pairs = (length - 1) // 2
        """Steps that have a partner on the other side; step 0 and a middle one have none."""
        bins = length // 2 + 1
        # The product is reduced while it is a whole number: the angles are exact.
        turns = torch.outer(torch.arange(bins), torch.arange(bins)) % length
        angles = turns.double() * (2 * math.pi / length)
        self.register_buffer("cos", angles.cos().float())
        self.register_buffer("sin", angles.sin()[1 : self.pairs + 1].float())

    def fold(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """[..., N] -> the even part [..., N // 2 + 1] and the odd part [..., pairs]."""
        left = windows[..., 1 : self.pairs + 1]
        right = windows[..., self.length - self.pairs :].flip(-1)
        middle = windows[..., self.pairs + 1 : self.length - self.pairs]
        return torch.cat([windows[..., :1], left + right, middle], dim=-1), left - right

    def unfold(self, even: Tensor, odd: Tensor) -> Tensor:
        """Back: [..., N // 2 + 1], [..., pairs] -> [..., N]."""
        inner = even[..., 1 : self.pairs + 1]
        parts = [even[..., :1], inner + odd, even[..., self.pairs + 1 :], (inner - odd).flip(-1)]
        return torch.cat(parts, dim=-1)


class RealAnalysis(nn.Module):
    """As SpectralAnalysis: [B, 1, S] -> Spectra of ceil(S / hop_length) frames."""

    window: Tensor

    def __init__(self, analysis: SpectralAnalysis) -> None:
        super().__init__()
        self.window_length = analysis.window_length
        self.hop_length = analysis.hop_length
        self.offset = analysis.offset
        self.halves = Fold(self.window_length)
        self.register_buffer("window", analysis.window.clone())

    def forward(self, waveform: Tensor, lengths: Lengths = None) -> Spectra:
        samples = surround(
            waveform, lengths, left=-self.offset, extent=self.window_length, stride=self.hop_length
        )
        even, odd = self.halves.fold(self._windows(samples) * self.window)
        real, imaginary = even @ self.halves.cos, odd @ -self.halves.sin
        magnitude = (real.square() + imaginary.square()).sqrt() + FLOOR
        log = magnitude.log()
        compression = (-0.7 * log).exp()
        return Spectra((log + 6.0) / 3.0, real * compression, imaginary * compression)

    def _windows(self, samples: Tensor) -> Tensor:
        """[B, 1, (T - 1) hop_length + window_length] -> [B, T, window_length]."""
        hops = self.window_length // self.hop_length
        frames = samples.shape[-1] // self.hop_length - hops + 1
        parts = samples.reshape(samples.shape[0], frames + hops - 1, self.hop_length)
        return torch.cat([parts[:, hop : hop + frames] for hop in range(hops)], dim=-1)


class RealSynthesis(nn.Module):
    """As SpectralSynthesis: [B, T, 2 F] -> [B, 1, T * hop_length]."""

    window: Tensor
    twice: Tensor

    def __init__(self, synthesis: SpectralSynthesis) -> None:
        super().__init__()
        self.window_length = synthesis.window_length
        self.hop_length = synthesis.hop_length
        self.hops = synthesis.hops
        self.offset = synthesis.offset
        self.halves = Fold(self.window_length)
        # A bin with a partner, f and -f, stands for both.
        twice = torch.ones(self.window_length // 2 + 1)
        twice[1 : self.halves.pairs + 1] = 2.0
        self.register_buffer("window", synthesis.window.clone())
        self.register_buffer("twice", twice[:, None])

    def forward(self, features: Tensor, lengths: Lengths = None) -> Tensor:
        level, phase = features.chunk(2, dim=-1)
        magnitude = level.clamp(max=math.log(100.0)).exp()
        even = (magnitude * phase.cos()) @ (self.twice * self.halves.cos.T)
        odd = (magnitude * phase.sin()) @ (-self.twice * self.halves.sin.T)
        windows = self.halves.unfold(even, odd) * (0.5 * self.window)
        windows = zero_beyond(windows, lengths, dim=-2)
        present = zero_beyond(torch.ones_like(level[..., :1]).transpose(1, 2), lengths)
        num_samples = features.shape[1] * self.hop_length
        margin = self.hops - 1
        if isinstance(lengths, Flow):
            weight = self._weight(lengths.remember(present, margin))
            total = lengths.overlap(self._overlap_add(windows), num_samples)
            lengths.upsample(self.hop_length, left=-self.offset)
            return total / weight.clamp(min=1e-9)
        weight = self._weight(F.pad(present, (margin, margin)))
        sound = slice(-self.offset, num_samples - self.offset)
        return self._overlap_add(windows)[..., sound] / weight[..., sound].clamp(min=1e-9)

    def _overlap_add(self, windows: Tensor) -> Tensor:
        """[B, T, window_length] -> [B, 1, (T - 1) * hop_length + window_length]."""
        parts = windows.reshape(*windows.shape[:-1], self.hops, self.hop_length)
        shifted = [
            F.pad(parts[..., hop, :], (0, 0, hop, self.hops - 1 - hop)) for hop in range(self.hops)
        ]
        return torch.stack(shifted).sum(dim=0).flatten(1).unsqueeze(1)

    def _weight(self, present: Tensor) -> Tensor:
        """[B, 1, n + hops - 1], 1 for a frame that is there -> [B, 1, n * hop_length]."""
        count = present.shape[-1] - self.hops + 1
        latest_first = self.window.view(self.hops, self.hop_length).flip(0)
        around = torch.stack([present[..., hop : hop + count] for hop in range(self.hops)], dim=-1)
        return (around @ latest_first).flatten(2)
