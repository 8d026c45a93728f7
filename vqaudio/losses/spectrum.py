"""The spectra that the losses compare."""

from __future__ import annotations

import torch
from torch import Tensor


def sine_window(length: int) -> Tensor:
    """[length]: a Hann window under which a sine of full scale has amplitude 1."""
    shape = torch.hann_window(length)
    return shape * (2 / shape.sum())


def spectrum(waveform: Tensor, window: Tensor) -> Tensor:
    """[B, 1, S], [W] -> [B, W // 2 + 1, frames] complex64, at hops of a quarter window.

    Zeros surround the waveform. Autocast is the caller's to switch off.
    """
    return torch.stft(
        waveform.float().squeeze(1),
        len(window),
        hop_length=len(window) // 4,
        window=window,
        pad_mode="constant",
        return_complex=True,
    )
