"""The spectrum that the losses compare."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Spectrum(nn.Module):
    """[B, 1, S] -> [B, window // 2 + 1, frames, 2]: real and imaginary parts; a full sine is 1.

    A Hann window at hops of a quarter, zeros around the waveform. Autocast is the caller's to
    switch off.
    """

    shape: Tensor

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window
        shape = torch.hann_window(window)
        self.register_buffer("shape", shape * (2 / shape.sum()), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        spectrum = torch.stft(
            waveform.float().squeeze(1),
            self.window,
            hop_length=self.window // 4,
            window=self.shape,
            pad_mode="constant",
            return_complex=True,
        )
        return torch.view_as_real(spectrum)
