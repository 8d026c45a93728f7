"""The multi-resolution STFT loss: what the mel loss leaves free, phase and single bins."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqaudio.losses.spectrum import Spectrum

FLOOR = 1e-5
"""Amplitude of a bin (1 = a sine of full scale) under which two sounds are equally silent."""


class MultiResolutionStftLoss(nn.Module):
    """[B, 1, S], [B, 1, S] -> scalar >= 0: complex and log-magnitude distance over several windows.

    With X, Y the spectra of waveform and reference, the mean over the windows of

        mean(|Re(X - Y)| + |Im(X - Y)|) / mean(|Re Y| + |Im Y|)  +  mean |ln |X| - ln |Y||

    The first term is the L1 distance of real and imaginary parts of APNet (Ai and Ling 2023,
    arXiv:2305.07952), as a fraction of the reference like the spectral convergence of Parallel
    WaveGAN (Yamamoto et al. 2020, arXiv:1910.11480); the second is the log-magnitude loss of the
    latter. Both are pure numbers of order one for unlike sounds. The fraction is that of the whole
    batch: item by item, a crop of near silence would outweigh all others.

    Hops of a quarter window. The gradient is that of the first argument. Computed in float32 with
    autocast off.
    """

    def __init__(self, windows: Sequence[int]) -> None:
        super().__init__()
        self.spectra = nn.ModuleList(Spectrum(window) for window in windows)

    def forward(self, waveform: Tensor, reference: Tensor) -> Tensor:
        distances = []
        with torch.autocast(waveform.device.type, enabled=False):
            for spectrum in self.spectra:
                with torch.no_grad():
                    target = spectrum(reference)
                    scale = target.abs().mean().clamp(min=FLOOR)
                    target_level = _level(target)
                found = spectrum(waveform)
                distances.append((found - target).abs().mean() / scale)
                distances.append((_level(found) - target_level).abs().mean())
        return torch.stack(distances).sum() / len(self.spectra)


def _level(parts: Tensor) -> Tensor:
    """[B, F, frames, 2] -> [B, F, frames]: ln of the magnitude, not below that of the floor."""
    # The power is clamped, not the magnitude: the derivative of abs() at zero is none.
    return 0.5 * parts.square().sum(dim=-1).clamp(min=FLOOR**2).log()
