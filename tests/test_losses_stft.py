"""The losses that hear phase: over spectra, and over samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from loss_checks import check_float32, check_gradient, descend, noise
from sounds import babble
from torch import Tensor

from vqaudio.losses import MultiResolutionStftLoss, waveform_loss
from vqaudio.losses.stft import FLOOR

WINDOWS = (64, 256, 1024)


@pytest.fixture(scope="module")
def loss() -> MultiResolutionStftLoss:
    return MultiResolutionStftLoss(WINDOWS)


@pytest.fixture(scope="module")
def speech() -> Tensor:
    """[2, 1, S]"""
    takes = np.stack([babble(speaker, 0, seconds=0.3) for speaker in (0, 3)])
    return torch.from_numpy(takes.astype(np.float32))[:, None]


def frame_by_frame(waveform: Tensor, reference: Tensor, window: int) -> float:
    """The slow twin: one item each, NumPy, one window at a time."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    spectra = []
    for sound in (waveform, reference):
        padded = np.pad(sound.numpy().ravel().astype(np.float64), window // 2)
        starts = range(0, len(padded) - window + 1, window // 4)
        frames = [padded[i : i + window] * hann * 2 / hann.sum() for i in starts]
        spectra.append(np.fft.rfft(frames))
    x, y = spectra
    difference = np.abs((x - y).real).sum() + np.abs((x - y).imag).sum()
    size = np.abs(y.real).sum() + np.abs(y.imag).sum()
    levels = [np.log(np.maximum(np.abs(spectrum), FLOOR)) for spectrum in spectra]
    return float(difference / size + np.abs(levels[0] - levels[1]).mean())


def test_it_is_the_mean_of_the_formula_over_windows(
    loss: MultiResolutionStftLoss, speech: Tensor
) -> None:
    waveform, reference = speech[:1] + 0.02 * noise(*speech[:1].shape), speech[:1]
    expected = [frame_by_frame(waveform, reference, window) for window in WINDOWS]
    assert loss(waveform, reference).item() == pytest.approx(sum(expected) / 3, rel=1e-3)


def test_what_it_says_of_a_sound_at_another_level(loss: MultiResolutionStftLoss) -> None:
    sound = noise(2, 1, 4000)
    assert loss(sound, sound).item() == 0
    assert loss(2 * sound, sound).item() == pytest.approx(1 + math.log(2), rel=1e-4)
    assert loss(-sound, sound).item() == pytest.approx(2, rel=1e-4)  # which no mel loss hears
    silence = torch.zeros_like(sound)
    assert loss(silence, silence).item() == 0


def test_more_noise_and_more_delay_are_farther_off(
    loss: MultiResolutionStftLoss, speech: Tensor
) -> None:
    for distort in (
        lambda amount: speech + 0.001 * amount * noise(*speech.shape),
        lambda amount: speech.roll(amount, dims=-1),
    ):
        values = [loss(distort(amount), speech).item() for amount in (1, 4, 16)]
        assert 0 < values[0] < values[1] < values[2]


@pytest.mark.parametrize("num_samples", [1, 31, 32, 65, 1025])
@pytest.mark.parametrize("reference_is_silent", [False, True])
def test_the_gradient_is_finite_and_the_waveforms_alone(
    loss: MultiResolutionStftLoss, num_samples: int, reference_is_silent: bool
) -> None:
    check_gradient(loss, num_samples, reference_is_silent=reference_is_silent)


def test_descending_the_gradient_brings_sounds_nearer(
    loss: MultiResolutionStftLoss, speech: Tensor
) -> None:
    assert descend(loss, speech + 0.05 * noise(*speech.shape), speech) < 0.9


def test_it_stays_in_float32_under_autocast(loss: MultiResolutionStftLoss, speech: Tensor) -> None:
    check_float32(loss, 0.5 * speech, speech)
    assert not loss.state_dict()  # rebuilt from the recipe


def test_the_waveform_loss_is_the_mean_difference() -> None:
    waveform = torch.tensor([[[0.5, -0.5, 0.0, 1.0]]], requires_grad=True)
    reference = torch.tensor([[[0.5, 0.5, 0.0, 0.0]]], requires_grad=True)
    loss = waveform_loss(waveform, reference)
    assert loss.item() == 0.5
    loss.backward()
    assert waveform.grad is not None
    assert waveform.grad.tolist() == [[[0.0, -0.25, 0.0, 0.25]]]
    assert reference.grad is None
    assert waveform_loss(waveform.bfloat16(), reference).dtype == torch.float32
