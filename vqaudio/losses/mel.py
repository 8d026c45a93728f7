"""The multi-scale mel loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqaudio.losses.spectrum import Spectrum

FLOOR = 1e-5
"""Mel amplitude under which two sounds count as equally silent."""

EXPONENT = 0.3
"""Of compressed amplitudes."""


class LogMel(nn.Module):
    """[B, 1, S] -> [B, window // 16, frames]: ln of mel amplitudes, which are at least FLOOR."""

    filters: Tensor

    def __init__(self, sample_rate: int, window: int) -> None:
        super().__init__()
        from librosa.filters import mel  # librosa takes a second to import

        self.spectrum = Spectrum(window)
        bank = mel(sr=sample_rate, n_fft=window, n_mels=window // 16, norm="slaney")
        # Slaney's filters have unit area over Hz: bring a flat spectrum back to its level.
        filters = torch.from_numpy(bank) * (sample_rate / window)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        real, imaginary = self.spectrum(waveform).unbind(dim=-1)
        # abs() has no derivative at zero, where padding puts every bin.
        amplitude: Tensor = (real.square() + imaginary.square() + 1e-14).sqrt()
        return (self.filters @ amplitude).clamp(min=FLOOR).log()


class MultiScaleMelLoss(nn.Module):
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
        super().__init__()
        self.compressed = compressed
        self.scales = nn.ModuleList(LogMel(sample_rate, window) for window in windows)

    def forward(self, waveform: Tensor, reference: Tensor) -> Tensor:
        distances = []
        with torch.autocast(waveform.device.type, enabled=False):
            for log_mel in self.scales:
                with torch.no_grad():
                    target = log_mel(reference)
                distances.append(self._distance(log_mel(waveform), target))
        return torch.stack(distances).mean()

    def _distance(self, found: Tensor, target: Tensor) -> Tensor:
        """[B, bands, frames] twice, logarithms -> scalar."""
        level = (found - target).abs().mean()
        if self.compressed == 0:
            return level
        wanted = (EXPONENT * target).exp()
        amplitude = ((EXPONENT * found).exp() - wanted).abs().mean() / (EXPONENT * wanted.mean())
        return level.lerp(amplitude, self.compressed)
