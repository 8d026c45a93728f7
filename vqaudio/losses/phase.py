"""The phase loss: where in its period each bin of a spectrum is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqaudio.losses.spectrum import Spectrum

FLOOR = 1e-4
"""Amplitude (1 = a sine of full scale) below which a decoded bin has less and less of a phase."""

TINY = 1e-12
"""Keeps silence, in which nothing is compared, from dividing by zero."""


class PhaseLoss(nn.Module):
    """[B, 1, S], [B, 1, S] -> scalar, 0 to 2: mean 1 - cos(angle of X over Y), bins up to `below`.

    With X, Y the spectra of waveform and reference, the mean over bins weighted by |Y| ** 0.5, and
    over the windows; 1 where the phases have nothing to do with each other. It does not mind whole
    turns, as the anti-wrapping losses of APNet (Ai and Ling 2023, arXiv:2305.07952). Unlike a
    distance of waveforms or of complex spectra it gains nothing from silence where phases are
    unknown: its gradient turns a bin and does not shrink it. (A bin that is decoded at FLOOR or
    below counts as one without a phase, and is made louder, too.)

    `below` is in Hz: phases matter most, and cost fewest bits, where harmonics stand apart. Hops of
    a quarter window. The gradient is that of the first argument. Computed in float32 with autocast
    off.
    """

    def __init__(self, sample_rate: int, windows: Sequence[int], *, below: float) -> None:
        super().__init__()
        self.spectra = nn.ModuleList(Spectrum(window) for window in windows)
        self.bins = [int(below * window / sample_rate) + 1 for window in windows]

    def forward(self, waveform: Tensor, reference: Tensor) -> Tensor:
        distances = []
        with torch.autocast(waveform.device.type, enabled=False):
            for spectrum, bins in zip(self.spectra, self.bins, strict=True):
                with torch.no_grad():
                    target = spectrum(reference)[:, :bins]
                    size = target.square().sum(dim=-1).sqrt()
                    direction = target / size.clamp(min=TINY).unsqueeze(-1)
                    weight = size.sqrt()
                found = spectrum(waveform)[:, :bins]
                cosine = (found * direction).sum(dim=-1) / _size(found)
                distances.append((weight * (1 - cosine)).sum() / weight.sum().clamp(min=TINY))
        return torch.stack(distances).mean()


def _size(parts: Tensor) -> Tensor:
    """[B, bins, frames, 2] -> [B, bins, frames]: the magnitude, never below FLOOR."""
    return (parts.square().sum(dim=-1) + FLOOR**2).sqrt()
