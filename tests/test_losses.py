"""The mel loss: what it hears, what it does not, and its gradient.

That its value is that of an independent computation is in test_metrics.py.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from loss_checks import check_float32, check_gradient, descend, noise
from sounds import SAMPLE_RATE, babble
from torch import Tensor

from vqaudio.losses.mel import FLOOR, LogMel, MultiScaleMelLoss

WINDOWS = (128, 512, 2048)


@pytest.fixture(scope="module")
def loss() -> MultiScaleMelLoss:
    return MultiScaleMelLoss(SAMPLE_RATE, WINDOWS)


@pytest.fixture(scope="module")
def speech() -> Tensor:
    """[2, 1, S]"""
    takes = np.stack([babble(speaker, 0, seconds=0.5) for speaker in (0, 3)])
    return torch.from_numpy(takes.astype(np.float32))[:, None]


def test_equal_sounds_and_sounds_turned_upside_down_are_at_no_distance(
    loss: MultiScaleMelLoss, speech: Tensor
) -> None:
    assert loss(speech, speech).item() == 0
    assert loss(-speech, speech).item() == pytest.approx(0, abs=1e-6)
    silence = torch.zeros_like(speech)
    assert loss(silence, silence).item() == 0


def test_it_is_in_nepers(loss: MultiScaleMelLoss) -> None:
    noise = torch.randn(1, 1, 8000, generator=torch.Generator().manual_seed(0))
    assert loss(2 * noise, noise).item() == pytest.approx(math.log(2), rel=1e-4)
    # All below the floor is the same silence.
    assert loss(1e-9 * noise, torch.zeros_like(noise)).item() == 0


def test_more_noise_is_farther_off(loss: MultiScaleMelLoss, speech: Tensor) -> None:
    noise = torch.randn(speech.shape, generator=torch.Generator().manual_seed(0))
    values = [loss(speech + level * noise, speech).item() for level in (0.001, 0.01, 0.1)]
    assert 0 < values[0] < values[1] < values[2]
    # The mean over windows; which of two is called the reference only says who gets a gradient.
    one_each = [MultiScaleMelLoss(SAMPLE_RATE, [w])(speech + 0.1 * noise, speech) for w in WINDOWS]
    assert torch.stack(one_each).mean().item() == pytest.approx(values[2])
    assert loss(speech, speech + 0.1 * noise).item() == pytest.approx(values[2])


def test_compressed_amplitudes_are_over_their_mean(speech: Tensor) -> None:
    """By the formula, window by window."""
    other = speech + 0.01 * torch.randn(speech.shape, generator=torch.Generator().manual_seed(0))
    found = []
    for window in WINDOWS:
        log_mel = LogMel(SAMPLE_RATE, window)
        x, y = (log_mel(sound).double().exp() ** 0.3 for sound in (other, speech))
        found.append(((x - y).abs().mean() / (0.3 * y.mean())).item())
    assert len(set(found)) == len(WINDOWS)
    compressed = MultiScaleMelLoss(SAMPLE_RATE, WINDOWS, compressed=1.0)
    assert compressed(other, speech).item() == pytest.approx(np.mean(found), rel=1e-5)
    # In between it is the sum of both by their shares.
    level = MultiScaleMelLoss(SAMPLE_RATE, WINDOWS)(other, speech).item()
    mixed = MultiScaleMelLoss(SAMPLE_RATE, WINDOWS, compressed=0.25)(other, speech).item()
    assert mixed == pytest.approx(0.75 * level + 0.25 * np.mean(found), rel=1e-5)


def test_compressed_amplitudes_care_less_for_near_silence() -> None:
    """A change of all levels counts as in nepers, one of the quiet half alone much less."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 1, 16000, generator=generator)
    level, compressed = (MultiScaleMelLoss(SAMPLE_RATE, WINDOWS, compressed=c) for c in (0.0, 1.0))
    assert compressed(1.001 * noise, noise).item() == pytest.approx(math.log(1.001), rel=1e-2)
    quiet = noise.clone()
    quiet[..., 8000:] *= 1e-3
    changed = quiet.clone()
    changed[..., 8000:] *= 2
    assert level(changed, quiet).item() > 0.9 * math.log(2) / 2
    assert compressed(changed, quiet).item() < 0.3 * math.log(2) / 2


def test_a_sine_of_full_scale_has_an_amplitude_near_one() -> None:
    """In the middle of a band of the long window; so the floor is 100 dB below full scale."""
    sine = torch.sin(2 * math.pi * 1000 * torch.arange(SAMPLE_RATE) / SAMPLE_RATE)
    log_mel = LogMel(SAMPLE_RATE, 2048)(sine[None, None])
    assert log_mel.shape == (1, 128, 1 + SAMPLE_RATE // 512)
    loudest = log_mel[0, :, 10].exp().max().item()
    assert 0.2 < loudest < 2
    assert log_mel.min().item() == pytest.approx(math.log(FLOOR))


@pytest.mark.parametrize("compressed", [0.0, 0.85])
@pytest.mark.parametrize("num_samples", [1, 63, 64, 2049])
@pytest.mark.parametrize("reference_is_silent", [False, True])
def test_the_gradient_is_finite_and_the_waveforms_alone(
    num_samples: int, reference_is_silent: bool, compressed: float
) -> None:
    loss = MultiScaleMelLoss(SAMPLE_RATE, WINDOWS, compressed=compressed)
    check_gradient(loss, num_samples, reference_is_silent=reference_is_silent)


def test_descending_the_gradient_brings_sounds_nearer(
    loss: MultiScaleMelLoss, speech: Tensor
) -> None:
    assert descend(loss, speech + 0.05 * noise(*speech.shape), speech) < 0.9


def test_it_stays_in_float32_under_autocast(loss: MultiScaleMelLoss, speech: Tensor) -> None:
    check_float32(loss, 0.5 * speech, speech)


@pytest.mark.parametrize("sample_rate", [8000, 16_000, 24_000, 44_100, 48_000])
def test_every_band_hears_something(sample_rate: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # librosa warns of empty filters
        scales = [LogMel(sample_rate, window) for window in (64, 128, 256, 4096)]
    assert all((log_mel.filters.sum(dim=1) > 0).all() for log_mel in scales)


def test_it_is_rebuilt_from_the_recipe(loss: MultiScaleMelLoss) -> None:
    assert not loss.state_dict()  # no part of a checkpoint
