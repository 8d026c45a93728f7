"""STOI, mel distance and SI-SDR: known values, which way is better, and what has no value."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sounds import SAMPLE_RATE, babble

from vqaudio.errors import AudioError, VqaudioError
from vqaudio.losses import MultiScaleMelLoss
from vqaudio.metrics import MEL_FLOOR, MEL_WINDOWS, mel_distance, si_sdr, stoi
from vqaudio.recipe import LossConfig

Measure = Callable[[NDArray[Any], NDArray[Any]], float]
MEASURES: dict[str, Measure] = {
    "stoi": lambda reference, degraded: stoi(reference, degraded, SAMPLE_RATE),
    "mel_distance": lambda reference, degraded: mel_distance(reference, degraded, SAMPLE_RATE),
    "si_sdr": si_sdr,
}
SPEECH = babble(0, 0, seconds=2.0)
NOISE = np.random.default_rng(0).standard_normal(len(SPEECH))
SILENCE = np.zeros(len(SPEECH))


@pytest.mark.parametrize(("name", "best"), [("stoi", 1), ("mel_distance", 0), ("si_sdr", math.inf)])
def test_a_waveform_against_itself_has_the_best_value(name: str, best: float) -> None:
    assert MEASURES[name](SPEECH, SPEECH) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("name", MEASURES)
def test_more_noise_is_worse(name: str) -> None:
    values = [MEASURES[name](SPEECH, SPEECH + level * NOISE) for level in (0.001, 0.01, 0.1, 1)]
    worse_last = sorted(values, reverse=name != "mel_distance")
    assert values == worse_last
    assert len(set(values)) == 4


def test_known_values() -> None:
    half = 0.5 * SPEECH
    assert stoi(SPEECH, half, SAMPLE_RATE) == pytest.approx(1, abs=1e-6)
    assert si_sdr(SPEECH, half) == math.inf
    assert mel_distance(NOISE, 0.5 * NOISE, SAMPLE_RATE) == pytest.approx(math.log(2))
    # Noise at right angles to the speech, of a tenth of its amplitude, is 20 dB below it.
    noise = NOISE - (NOISE @ SPEECH) / (SPEECH @ SPEECH) * SPEECH
    noise *= 0.1 * np.linalg.norm(SPEECH) / np.linalg.norm(noise)
    assert si_sdr(SPEECH, SPEECH + noise) == pytest.approx(20)
    assert si_sdr(SPEECH, 3 * (SPEECH + noise)) == pytest.approx(20)
    # From all there is down to the floor, in every band.
    assert mel_distance(1e6 * NOISE, SILENCE, SAMPLE_RATE) > math.log(1 / MEL_FLOOR)


def test_float32_gives_the_same_but_for_its_digits() -> None:
    noisy = SPEECH + 0.01 * NOISE
    for measure in MEASURES.values():
        single = measure(SPEECH.astype(np.float32), noisy.astype(np.float32))
        assert single == pytest.approx(measure(SPEECH, noisy), rel=1e-3)


def test_silence() -> None:
    assert math.isnan(stoi(SILENCE, SPEECH, SAMPLE_RATE))
    assert stoi(SPEECH, SILENCE, SAMPLE_RATE) == pytest.approx(0)
    assert mel_distance(SILENCE, SILENCE, SAMPLE_RATE) == 0
    assert math.isnan(si_sdr(SILENCE, SPEECH))
    assert si_sdr(SPEECH, SILENCE) == -math.inf


@pytest.mark.parametrize("num_samples", [1, 2, 127, 2049])
def test_very_short_sounds(num_samples: int) -> None:
    short = NOISE[:num_samples]
    assert math.isnan(stoi(short, short, SAMPLE_RATE))
    assert mel_distance(short, 0.5 * short, SAMPLE_RATE) > 0
    # Of one sample, every other is a multiple.
    assert si_sdr(short, short) == pytest.approx(
        math.inf if num_samples > 1 else math.nan, nan_ok=True
    )


def test_si_sdr_of_rounding_alone_is_infinite() -> None:
    for factor in (1.1, -0.3, 1e-9, 1e9):
        assert si_sdr(SPEECH, factor * SPEECH) == math.inf
    # What 32 bits cut off is a distortion, a faint one; so is all that is above -200 dB.
    assert 130 < si_sdr(SPEECH, (1.1 * SPEECH).astype(np.float32)) < 170
    noise = NOISE / np.linalg.norm(NOISE) * np.linalg.norm(SPEECH)
    assert si_sdr(SPEECH, SPEECH + 1e-9 * noise) == pytest.approx(180, abs=0.1)
    assert math.isnan(si_sdr(SPEECH[9:10], NOISE[:1]))


def test_stoi_has_no_value_for_little_sound_in_a_long_pause() -> None:
    burst = SILENCE.copy()
    burst[8000:12000] = SPEECH[8000:12000]
    assert math.isnan(stoi(burst, burst, SAMPLE_RATE))


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize(
    ("reference", "degraded", "message"),
    [
        (SPEECH, SPEECH[:-1], "has 32000 samples, the degraded waveform 31999"),
        (SPEECH[None], SPEECH[None], r"reference waveform has the shape \[1, 32000\]"),
        (SPEECH, SPEECH[:0], r"degraded waveform has the shape \[0\]"),
        (SPEECH, np.full(len(SPEECH), math.nan), "degraded waveform has samples that are not"),
    ],
)
def test_what_cannot_be_compared(
    measure: Measure, reference: NDArray[Any], degraded: NDArray[Any], message: str
) -> None:
    with pytest.raises(AudioError, match=message):
        measure(reference, degraded)


def test_without_pystoi_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pystoi", None)
    with pytest.raises(VqaudioError, match=r"pip install 'vqaudio\[eval\]'"):
        stoi(SPEECH, SPEECH, SAMPLE_RATE)


@pytest.mark.parametrize("sample_rate", [8000, 16000, 44100])
def test_the_mel_distance_is_the_mel_loss(sample_rate: int) -> None:
    assert LossConfig().mel_windows == MEL_WINDOWS
    degraded = SPEECH + 0.01 * NOISE
    loss = MultiScaleMelLoss(sample_rate, MEL_WINDOWS)
    reference, waveform = (
        torch.from_numpy(x.astype(np.float32))[None, None] for x in (SPEECH, degraded)
    )
    expected = loss(waveform, reference).item()
    assert mel_distance(SPEECH, degraded, sample_rate) == pytest.approx(expected, rel=1e-3)
