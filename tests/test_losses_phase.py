"""The loss on phases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from loss_checks import check_gradient, descend, noise
from sounds import babble
from torch import Tensor

from vqaudio.losses import PhaseLoss
from vqaudio.recipe import LossConfig
from vqaudio.train.objective import Objective

SAMPLE_RATE = 16000
WINDOWS = (256, 512)


@pytest.fixture(scope="module")
def loss() -> PhaseLoss:
    return PhaseLoss(SAMPLE_RATE, WINDOWS, below=1000)


@pytest.fixture(scope="module")
def speech() -> Tensor:
    """[2, 1, S]"""
    takes = np.stack([babble(speaker, 0, seconds=0.3) for speaker in (0, 3)])
    return torch.from_numpy(takes.astype(np.float32))[:, None]


def sine(hz: float, phase: float = 0.0, amplitude: float = 0.5) -> Tensor:
    """[1, 1, 8000]"""
    turns = 2 * math.pi * hz / SAMPLE_RATE * torch.arange(8000) + phase
    return amplitude * torch.sin(turns)[None, None]


def bin_by_bin(waveform: Tensor, reference: Tensor, window: int, below: float) -> float:
    """The slow twin, in NumPy, of sounds that are nowhere silent."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    total = weights = 0.0
    for x, y in zip(waveform.numpy()[:, 0], reference.numpy()[:, 0], strict=True):
        x, y = (np.pad(sound.astype(np.float64), window // 2) for sound in (x, y))
        for start in range(0, len(x) - window + 1, window // 4):
            spectra = [np.fft.rfft(s[start : start + window] * hann) for s in (x, y)]
            for index in range(window // 2 + 1):
                if index * SAMPLE_RATE / window > below:
                    break
                found, target = spectra[0][index], spectra[1][index]
                weight = abs(target) ** 0.5
                total += weight * (1 - math.cos(np.angle(found) - np.angle(target)))
                weights += weight
    return total / weights


@pytest.mark.parametrize("below", [500.0, 1000.0, 8000.0])
def test_it_is_the_formula(below: float) -> None:
    waveform, reference = noise(2, 2, 1, 2000).unbind()
    loss = PhaseLoss(SAMPLE_RATE, WINDOWS, below=below)
    expected = [bin_by_bin(waveform, reference, window, below) for window in WINDOWS]
    assert loss(waveform, reference).item() == pytest.approx(sum(expected) / 2, rel=1e-3)


@pytest.mark.parametrize("turn", [0.0, 0.5, 2.0, math.pi, 2 * math.pi])
def test_a_sine_that_is_turned(loss: PhaseLoss, turn: float) -> None:
    found = loss(sine(500, turn), sine(500)).item()
    assert found == pytest.approx(1 - math.cos(turn), abs=0.03)


def test_levels_are_free_and_so_are_phases_above_the_limit(loss: PhaseLoss) -> None:
    reference = noise(2, 1, 4000)
    assert loss(reference, reference).item() == pytest.approx(0, abs=1e-4)
    assert loss(0.1 * reference, reference).item() == pytest.approx(0, abs=1e-3)
    assert loss(-reference, reference).item() == pytest.approx(2, abs=1e-3)
    assert loss(noise(1, 1, 64000), noise(2, 1, 64000)[1:]).item() == pytest.approx(1, abs=0.05)
    low = sine(400)
    assert loss(low + sine(3000, 2.0), low + sine(3000)).item() < 0.03
    assert loss(low + sine(800, 2.0), low + sine(800)).item() > 0.3


def test_quiet_bins_count_less(loss: PhaseLoss) -> None:
    wrong = [
        loss(sine(300) + sine(800, math.pi, level), sine(300) + sine(800, 0, level)).item()
        for level in (0.5, 0.05, 0.0005)
    ]
    assert wrong[0] > 1.5 * wrong[1] > 3 * wrong[2]


@pytest.mark.parametrize("num_samples", [1, 65, 2049])
@pytest.mark.parametrize("reference_is_silent", [False, True])
def test_the_gradient_is_finite_and_the_waveforms_alone(
    loss: PhaseLoss, num_samples: int, reference_is_silent: bool
) -> None:
    check_gradient(loss, num_samples, reference_is_silent=reference_is_silent)


def test_its_gradient_turns_and_does_not_shrink(loss: PhaseLoss) -> None:
    waveform = sine(500, 1.0).requires_grad_()
    loss(waveform, sine(500)).backward()
    assert waveform.grad is not None
    inner = slice(1000, 7000)
    along = (waveform.grad * waveform.detach())[..., inner].sum().abs()
    across = (waveform.grad * sine(500, 1.0 + math.pi / 2))[..., inner].sum().abs()
    assert along < 0.02 * across


def test_descending_the_gradient_brings_phases_nearer(loss: PhaseLoss, speech: Tensor) -> None:
    assert descend(loss, 0.1 * speech.roll(20, dims=-1), speech) < 0.8


def test_a_recipe_says_up_to_where(speech: Tensor) -> None:
    config = LossConfig(phase=1, phase_windows=(256,), phase_below=500)
    decoded = speech.roll(5, dims=-1).requires_grad_()
    found = Objective(config, SAMPLE_RATE)(decoded, speech, None).losses["phase"]
    expected = [
        PhaseLoss(SAMPLE_RATE, [256], below=limit)(decoded, speech) for limit in (500, 1000)
    ]
    assert found == expected[0] != expected[1]


def test_it_takes_bfloat16_and_computes_in_float32(loss: PhaseLoss, speech: Tensor) -> None:
    assert loss(speech, speech.bfloat16()).dtype == torch.float32
    assert not loss.state_dict()  # rebuilt from the recipe
