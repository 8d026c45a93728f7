"""Delays: found to the sample where the waveform is kept, to 2 ms where it is not; and undone."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray
from sounds import SAMPLE_RATE, babble

from vqaudio.errors import AudioError
from vqaudio.metrics import Delay, estimate_delay, shift

SPEECH = babble(0, 0, seconds=3.0)
NOISE = 0.01 * np.random.default_rng(0).standard_normal(len(SPEECH))
DELAYS = (0, 37, -480, 3900)


def with_new_phases(waveform: NDArray[np.float64]) -> NDArray[np.float64]:
    """[S] -> [S]: what a parametric codec keeps."""
    spectrum = librosa.stft(waveform, n_fft=512, hop_length=128)
    phases = np.random.default_rng(1).uniform(0, 2 * np.pi, spectrum.shape)
    kept = np.abs(spectrum) * np.exp(1j * phases)
    return np.asarray(librosa.istft(kept, hop_length=128, length=len(waveform)))


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("gain", [1, -0.1])
def test_the_delay_of_a_noisy_copy_is_exact(delay: int, gain: float) -> None:
    degraded = gain * shift(SPEECH + NOISE, -delay, len(SPEECH))
    found = estimate_delay(SPEECH, degraded, SAMPLE_RATE)
    assert found.samples == delay
    assert 0.9 < found.confidence <= 1


@pytest.mark.parametrize("delay", DELAYS)
def test_without_the_phases_it_is_found_to_two_milliseconds(delay: int) -> None:
    degraded = shift(with_new_phases(SPEECH), -delay, len(SPEECH))
    found = estimate_delay(SPEECH, degraded, SAMPLE_RATE)
    assert abs(found.samples - delay) <= 0.002 * SAMPLE_RATE
    assert found.confidence > 0.5


def test_other_sounds_have_no_confidence() -> None:
    assert estimate_delay(SPEECH, NOISE, SAMPLE_RATE).confidence < 0.3


def test_no_delay_is_beyond_the_limit() -> None:
    late = shift(SPEECH, -3000, len(SPEECH))
    for seconds, expected in ((0.2, True), (0.1, False)):
        found = estimate_delay(SPEECH, late, SAMPLE_RATE, max_seconds=seconds)
        assert abs(found.samples) <= seconds * SAMPLE_RATE
        assert (found.samples == 3000) == expected


def test_lengths_may_differ() -> None:
    longer = np.concatenate([np.zeros(500), SPEECH, np.zeros(700)])
    assert estimate_delay(SPEECH, longer, SAMPLE_RATE).samples == 500
    assert estimate_delay(longer, SPEECH, SAMPLE_RATE).samples == -500


def test_silence_and_short_sounds() -> None:
    assert estimate_delay(SPEECH, 0 * SPEECH, SAMPLE_RATE) == Delay(0, 0.0)
    assert estimate_delay(0 * SPEECH, SPEECH, SAMPLE_RATE) == Delay(0, 0.0)
    for num_samples in (1, 2, 160, 1600):
        part = SPEECH[5000 : 5000 + num_samples]
        assert estimate_delay(part, part, SAMPLE_RATE).samples == 0
        found = estimate_delay(part, NOISE[:num_samples], SAMPLE_RATE)
        assert 0 <= found.confidence <= 1


@pytest.mark.parametrize("delay", [0, 3, -3, 10, -10, 99, -99])
@pytest.mark.parametrize("num_samples", [0, 1, 9, 10, 30])
def test_shifting_is_reading_elsewhere(delay: int, num_samples: int) -> None:
    waveform = np.arange(1.0, 11.0, dtype=np.float32)
    expected = [
        waveform[n + delay] if 0 <= n + delay < len(waveform) else 0 for n in range(num_samples)
    ]
    moved = shift(waveform, delay, num_samples)
    assert moved.tolist() == expected
    assert moved.dtype == np.float32


def test_what_has_no_delay() -> None:
    with pytest.raises(AudioError, match=r"degraded waveform has the shape \[0\]"):
        estimate_delay(SPEECH, SPEECH[:0], SAMPLE_RATE)
    with pytest.raises(AudioError, match=r"the shape \[S\], not \[1, 48000\]"):
        shift(SPEECH[None], 0, 10)
