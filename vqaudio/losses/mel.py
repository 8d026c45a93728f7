"""The multi-scale mel loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqaudio.losses.spectrum import sine_window, spectrum

FLOOR = 1e-5
"""Mel amplitude under which two sounds count as equally silent."""


class MultiScaleMelLoss(nn.Module):
    """[B, 1, S], [B, 1, S] -> scalar >= 0: mean |ln mel(x) - ln mel(y)| over several windows.

    Long windows see pitch, short ones see time; the phase is free. As in DAC (Kumar et al. 2023,
    arXiv:2306.06546, section 3.4), with amplitude spectra, a hop of a quarter window, and a mel
    band for every 16 samples of the window. The gradient is that of the first argument. Computed in
    float32 with autocast off.
    """

    def __init__(self, sample_rate: int, windows: Sequence[int]) -> None:
        super().__init__()
        from librosa.filters import mel  # librosa takes a second to import

        self.windows = tuple(windows)
        for window in self.windows:
            bank = mel(sr=sample_rate, n_fft=window, n_mels=window // 16, norm="slaney")
            # Slaney's filters have unit area over Hz: bring a flat spectrum back to its level.
            filters = torch.from_numpy(bank) * (sample_rate / window)
            self.register_buffer(f"filters_{window}", filters, persistent=False)
            self.register_buffer(f"shape_{window}", sine_window(window), persistent=False)

    def forward(self, waveform: Tensor, reference: Tensor) -> Tensor:
        distances = []
        with torch.autocast(waveform.device.type, enabled=False):
            for window in self.windows:
                with torch.no_grad():
                    target = self._log_mel(reference, window)
                distances.append((self._log_mel(waveform, window) - target).abs().mean())
        return torch.stack(distances).mean()

    def _log_mel(self, waveform: Tensor, window: int) -> Tensor:
        """[B, 1, S] -> [B, bands, frames]."""
        bins = spectrum(waveform, self.get_buffer(f"shape_{window}"))
        # abs() has no derivative at zero, where padding puts every bin.
        amplitude = (bins.real.square() + bins.imag.square() + 1e-14).sqrt()
        return (self.get_buffer(f"filters_{window}") @ amplitude).clamp(min=FLOOR).log()
