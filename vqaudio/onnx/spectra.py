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

from vqaudio.layers import Flow, Lengths, SpectralAnalysis, SpectralSynthesis
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
    """As SpectralAnalysis: [B, 1, S] -> [B, 3 F, ceil(S / hop_length)]."""

    window: Tensor

    def __init__(self, analysis: SpectralAnalysis) -> None:
        super().__init__()
        self.window_length = analysis.window_length
        self.hop_length = analysis.hop_length
        self.offset = analysis.offset
        self.halves = Fold(self.window_length)
        self.register_buffer("window", analysis.window.clone())

    def forward(self, waveform: Tensor, lengths: Lengths = None) -> Tensor:
        samples = surround(
            waveform, lengths, left=-self.offset, extent=self.window_length, stride=self.hop_length
        )
        even, odd = self.halves.fold(self._windows(samples) * self.window)
        real = (even @ self.halves.cos).transpose(1, 2)
        imag = (odd @ -self.halves.sin).transpose(1, 2)
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
    twice: Tensor

    def __init__(self, synthesis: SpectralSynthesis) -> None:
        super().__init__()
        self.window_length = synthesis.window_length
        self.hop_length = synthesis.hop_length
        self.offset = synthesis.offset
        self.halves = Fold(self.window_length)
        # A bin with a partner, f and -f, stands for both.
        twice = torch.ones(self.window_length // 2 + 1)
        twice[1 : self.halves.pairs + 1] = 2.0
        self.register_buffer("window", synthesis.window.clone())
        self.register_buffer("twice", twice[:, None])

    def forward(self, features: Tensor, lengths: Lengths = None) -> Tensor:
        level, phase = features.chunk(2, dim=1)
        magnitude = level.clamp(max=math.log(100.0)).exp()
        real, imag = magnitude * phase.cos(), magnitude * phase.sin()
        even = real.transpose(1, 2) @ (self.twice * self.halves.cos.T)
        odd = imag.transpose(1, 2) @ (-self.twice * self.halves.sin.T)
        windows = self.halves.unfold(even, odd) * (0.5 * self.window)
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
