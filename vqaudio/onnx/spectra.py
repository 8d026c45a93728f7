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


class RealFourier(nn.Module):
    """A Fourier in operators that onnxruntime has."""

    twice: Tensor

    def __init__(self, window_length: int, hop_length: int) -> None:
        super().__init__()
        self.hop_length = hop_length
        self.hops = window_length // hop_length
        self.halves = Fold(window_length)
        # A bin with a partner, f and -f, stands for both.
        twice = torch.ones(window_length // 2 + 1)
        twice[1 : self.halves.pairs + 1] = 2.0
        self.register_buffer("twice", twice[:, None])

    def cut(self, samples: Tensor) -> Tensor:
        frames = samples.shape[-1] // self.hop_length - self.hops + 1
        parts = samples.reshape(samples.shape[0], frames + self.hops - 1, self.hop_length)
        return torch.cat([parts[:, hop : hop + frames] for hop in range(self.hops)], dim=-1)

    def spectra(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        even, odd = self.halves.fold(windows)
        return even @ self.halves.cos, odd @ -self.halves.sin

    def windows(self, real: Tensor, imaginary: Tensor) -> Tensor:
        even = real @ (self.twice * self.halves.cos.T)
        odd = imaginary @ (-self.twice * self.halves.sin.T)
        return self.halves.unfold(even, odd)

    def overlap_add(self, windows: Tensor) -> Tensor:
        parts = windows.reshape(*windows.shape[:-1], self.hops, self.hop_length)
        shifted = [
            F.pad(parts[..., hop, :], (0, 0, hop, self.hops - 1 - hop)) for hop in range(self.hops)
        ]
        return torch.stack(shifted).sum(dim=0).flatten(1).unsqueeze(1)
