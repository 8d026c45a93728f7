"""The multi-scale mel loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vqaudio.losses.spectrum import SpectralLoss

FLOOR = 1e-5
"""Mel amplitude under which two sounds count as equally silent."""

EXPONENT = 0.3
"""Of compressed amplitudes."""


class MultiScaleMelLoss(SpectralLoss):
    """[B, 1, S], [B, 1, S] -> scalar >= 0: mean |ln mel(x) - ln mel(y)| over several windows.

    mel is at least FLOOR. Long windows see pitch, short ones see time; the phase is free. As in DAC
    (Kumar et al. 2023, arXiv:2306.06546, section 3.4), with amplitude spectra, a hop of a quarter
    window, and a mel band for every 16 samples of the window. The gradient is that of the first
    argument. Computed in float32 with autocast off.

    The logarithm weighs a breath like a vowel. `compressed`, from 0 to 1, is the fraction of the
    loss that compares compressed amplitudes, in which near silence hardly counts,

        mean |mel(x) ** 0.3 - mel(y) ** 0.3| / (0.3 mean mel(y) ** 0.3)

    with the exponent of Ephrat et al. 2018 (arXiv:1804.03619). Over the exponent and their mean in
    the batch that came they are, around that mean, as steep as the logarithm. With that mean the
    loss of a batch is no longer the mean of the losses of its parts.
    """

    def __init__(
        self, sample_rate: int, windows: Sequence[int], *, compressed: float = 0.0
    ) -> None:
        super().__init__(windows)
        from librosa.filters import mel  # librosa takes a second to import

        self.compressed = compressed
        for window in self.windows:
            bank = mel(sr=sample_rate, n_fft=window, n_mels=window // 16, norm="slaney")
            # Slaney's filters have unit area over Hz: bring a flat spectrum back to its level.
            filters = torch.from_numpy(bank) * (sample_rate / window)
            self.register_buffer(f"filters_{window}", filters, persistent=False)

    def forward(self, waveform: Tensor, reference: Tensor) -> Tensor:
        distances = []
        with torch.autocast(waveform.device.type, enabled=False):
            for window in self.windows:
                with torch.no_grad():
                    target = self._log_mel(reference, window)
                distances.append(self._distance(self._log_mel(waveform, window), target))
        return torch.stack(distances).mean()

    def _distance(self, found: Tensor, target: Tensor) -> Tensor:
        """[B, bands, frames] twice, logarithms -> scalar."""
        level = (found - target).abs().mean()
        if self.compressed == 0:
            return level
        wanted = (EXPONENT * target).exp()
        amplitude = ((EXPONENT * found).exp() - wanted).abs().mean() / (EXPONENT * wanted.mean())
        return level.lerp(amplitude, self.compressed)

    def _log_mel(self, waveform: Tensor, window: int) -> Tensor:
        """[B, 1, S] -> [B, bands, frames]."""
        bins = self.spectrum(waveform, window)
        # abs() has no derivative at zero, where padding puts every bin.
        amplitude = (bins.real.square() + bins.imag.square() + 1e-14).sqrt()
        return (self.get_buffer(f"filters_{window}") @ amplitude).clamp(min=FLOOR).log()
