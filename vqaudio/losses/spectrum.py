"""The spectra that the losses compare."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def _sine_window(length: int) -> Tensor:
    """[length]: a Hann window under which a sine of full scale has amplitude 1."""
    shape = torch.hann_window(length)
    return shape * (2 / shape.sum())


class SpectralLoss(nn.Module):
    """What losses over spectra share: windows, and the spectrum under each. No loss by itself."""

    def __init__(self, windows: Sequence[int]) -> None:
        super().__init__()
        self.windows = tuple(windows)
        for window in self.windows:
            self.register_buffer(f"shape_{window}", _sine_window(window), persistent=False)

    def spectrum(self, waveform: Tensor, window: int) -> Tensor:
        """[B, 1, S] -> [B, window // 2 + 1, frames] complex64, at hops of a quarter window.

        Zeros surround the waveform; a sine of full scale is 1. Autocast is the caller's to switch
        off.
        """
        return torch.stft(
            waveform.float().squeeze(1),
            window,
            hop_length=window // 4,
            window=self.get_buffer(f"shape_{window}"),
            pad_mode="constant",
            return_complex=True,
        )
