"""The spectrum that discriminators look at."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ComplexSpectrum(nn.Module):
    """[B, 1, S] -> [B, 2, T, F]: real and imaginary parts; T = S // hop_length + 1.

    Scaled so that white noise keeps its standard deviation in every bin. In float32 with autocast
    off: bfloat16 has no room for the range of a spectrum. Shorter waveforms than a window are
    surrounded by zeros.
    """

    shape: Tensor

    def __init__(self, window_length: int, *, hop_length: int) -> None:
        super().__init__()
        self.window_length = window_length
        self.hop_length = hop_length
        shape = torch.hann_window(window_length)
        self.register_buffer("shape", shape * shape.square().sum().rsqrt(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                waveform.float().squeeze(1),
                self.window_length,
                hop_length=self.hop_length,
                window=self.shape,
                pad_mode="constant",
                return_complex=True,
            )
        # Channels last in memory: on CPU, convolutions of few channels are up to twice as fast.
        return torch.view_as_real(spectrum.transpose(1, 2).contiguous()).permute(0, 3, 1, 2)
