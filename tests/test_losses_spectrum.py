"""The spectrum of the losses, and its gradient in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vqaudio.losses.spectrum import Spectrum


def by_torch(spectrum: Spectrum, waveform: Tensor) -> Tensor:
    """The slow twin."""
    size = len(spectrum.shape)
    found = torch.stft(
        waveform[:, 0],
        size,
        hop_length=size // 4,
        window=spectrum.shape,
        pad_mode="constant",
        return_complex=True,
    )
    return torch.view_as_real(found)


@pytest.mark.parametrize("window", [16, 65, 66, 250, 512])
@pytest.mark.parametrize("num_samples", [1, 130, 1000])
def test_spectrum_and_gradient_are_those_of_torch(window: int, num_samples: int) -> None:
    torch.manual_seed(0)
    spectrum = Spectrum(window)
    waveform = torch.randn(2, 1, num_samples, requires_grad=True)
    found, expected = spectrum(waveform), by_torch(spectrum, waveform)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(found)
    gradients = [
        torch.autograd.grad((parts * direction).sum(), waveform) for parts in (found, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_a_sine_of_full_scale_is_one() -> None:
    sine = torch.sin(2 * torch.pi * 1000 / 16000 * torch.arange(4000))[None, None]
    parts = Spectrum(512)(sine)
    assert parts[0, 32, 10].norm().item() == pytest.approx(1.0, rel=1e-3)
