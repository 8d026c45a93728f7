"""Metrics of other libraries agree with what those libraries say; our own with slow twins."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sounds import SAMPLE_RATE, babble

from vqaudio.metrics import (
    distillmos,
    dnsmos,
    estoi,
    f0_error,
    mel_cepstral_distortion,
    missing,
    pesq_nb,
    pesq_wb,
    speaker_similarity,
    stft_distance,
    visqol,
    voicing_error,
)
from vqaudio.metrics.cepstra import _cepstra

SPEECH = babble(0, 0, seconds=3.0)
NOISY = SPEECH + 0.01 * np.random.default_rng(0).standard_normal(len(SPEECH))
TIME = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE


def buzz(pitch: float) -> NDArray[np.float64]:
    """[S]: a voice that holds one note."""
    waves = [np.sin(2 * np.pi * pitch * k * TIME) / k for k in range(1, 20)]
    return np.asarray(0.2 * np.sum(waves, axis=0))


def test_pesq_is_that_of_its_library() -> None:
    library = pytest.importorskip("pesq")
    soxr = pytest.importorskip("soxr")
    assert pesq_wb(SPEECH, NOISY, SAMPLE_RATE) == library.pesq(16000, SPEECH, NOISY, "wb")
    at_8k = [soxr.resample(x, SAMPLE_RATE, 8000, quality="HQ") for x in (SPEECH, NOISY)]
    assert pesq_nb(SPEECH, NOISY, SAMPLE_RATE) == library.pesq(8000, *at_8k, "nb")


def test_pesq_of_a_long_recording_is_the_mean_of_its_parts() -> None:
    pytest.importorskip("pesq")
    # Words of 0.3 s with as long pauses: more of them than the library can count.
    word = np.concatenate([buzz(120)[:4800], np.zeros(4800)])
    long = np.tile(word, 65)
    noisy = long + 1e-3 * np.random.default_rng(0).standard_normal(len(long))
    value = pesq_wb(long, noisy, SAMPLE_RATE)
    halves = [pesq_wb(*pair, SAMPLE_RATE) for pair in zip(*_halves(long, noisy), strict=True)]
    assert value == pytest.approx(np.mean(halves))
    assert not math.isnan(value)


def _halves(*waveforms: NDArray[np.float64]) -> list[list[NDArray[np.float64]]]:
    return [np.array_split(waveform, 2) for waveform in waveforms]


def test_pesq_leaves_silent_parts_out() -> None:
    pytest.importorskip("pesq")
    silence = np.zeros(25 * SAMPLE_RATE - len(SPEECH))
    padded = [np.concatenate([x, silence]) for x in (SPEECH, NOISY)]
    assert 1 < pesq_wb(*padded, SAMPLE_RATE) < 4.6


@pytest.fixture
def threads() -> Iterator[None]:
    """Those of torch, put back: what numba runs in parallel changes them."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_visqol_is_that_of_its_library() -> None:
    library = pytest.importorskip("visqol")
    api = library.VisqolApi()
    api.create(mode="speech", use_lattice_model=False)
    expected = api.measure_from_arrays(SPEECH, NOISY, SAMPLE_RATE).moslqo
    assert visqol(SPEECH, NOISY, SAMPLE_RATE) == expected


@pytest.mark.usefixtures("threads")
def test_visqol_leaves_the_threads_of_torch() -> None:
    pytest.importorskip("visqol")
    torch.set_num_threads(1)
    visqol(SPEECH, NOISY, SAMPLE_RATE)
    assert torch.get_num_threads() == 1


def test_estoi_is_that_of_its_library() -> None:
    library = pytest.importorskip("pystoi")
    expected = library.stoi(SPEECH, NOISY, SAMPLE_RATE, extended=True)
    # pystoi adds noise of 1e-16 from the global generator.
    assert estoi(SPEECH, NOISY, SAMPLE_RATE) == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
def test_dnsmos_is_that_of_its_library() -> None:
    library = pytest.importorskip("speechmos.dnsmos")
    expected = library.run(SPEECH, SAMPLE_RATE)["ovrl_mos"]
    assert dnsmos(SPEECH, SAMPLE_RATE) == pytest.approx(expected, abs=1e-4)
    loud = np.clip(10 * SPEECH, -1, 1)
    assert dnsmos(10 * SPEECH, SAMPLE_RATE) == dnsmos(loud, SAMPLE_RATE)


@pytest.mark.slow
def test_distillmos_is_that_of_its_library(capsys: pytest.CaptureFixture[str]) -> None:
    library = pytest.importorskip("distillmos")
    value = distillmos(SPEECH, SAMPLE_RATE)
    assert capsys.readouterr().out == ""
    model = library.ConvTransformerSQAModel().eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(SPEECH.astype(np.float32))[None]).item()
    assert value == pytest.approx(expected, abs=1e-5)
    assert distillmos(0.1 * SPEECH, SAMPLE_RATE) == pytest.approx(value, abs=1e-3)


def test_speakers_are_told_apart() -> None:
    if missing("speaker_similarity"):
        pytest.skip(missing("speaker_similarity"))
    other_words, other_voice = babble(0, 1, seconds=3.0), babble(4, 0, seconds=3.0)
    same = speaker_similarity(SPEECH, other_words, SAMPLE_RATE)
    assert speaker_similarity(SPEECH, other_voice, SAMPLE_RATE) < same < 1
    assert speaker_similarity(SPEECH, 0.01 * SPEECH, SAMPLE_RATE) == pytest.approx(1, abs=1e-4)
    assert speaker_similarity(SPEECH, other_words, SAMPLE_RATE) == same


@pytest.mark.parametrize("cents", [-300, -10, 50, 700])
def test_pitch_errors_are_in_cents(cents: float) -> None:
    pytest.importorskip("pyworld")
    moved = buzz(150 * 2 ** (cents / 1200))
    # The first and last frames err by more.
    assert f0_error(buzz(150), moved, SAMPLE_RATE) == pytest.approx(abs(cents), abs=25)
    assert voicing_error(buzz(150), moved, SAMPLE_RATE) < 0.03


def test_frames_that_lost_their_voice_are_counted() -> None:
    pytest.importorskip("pyworld")
    voice = buzz(150)
    half = np.concatenate([voice[:SAMPLE_RATE], np.zeros(SAMPLE_RATE)])
    assert voicing_error(voice, half, SAMPLE_RATE) == pytest.approx(0.5, abs=0.05)
    assert f0_error(voice, half, SAMPLE_RATE) < 5
    assert math.isnan(f0_error(voice, 0 * voice, SAMPLE_RATE))


def test_mel_cepstra_are_those_of_the_definition() -> None:
    log_power = np.random.default_rng(0).standard_normal((40, 3))
    n = np.arange(40)
    expected = [
        np.mean(log_power * np.cos(np.pi * k * (n + 0.5) / 40)[:, None], axis=0)
        for k in range(1, 14)
    ]
    np.testing.assert_allclose(_cepstra(log_power), expected, atol=1e-12)


def test_known_values_of_spectral_distances() -> None:
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE)
    assert mel_cepstral_distortion(noise, 0.5 * noise, SAMPLE_RATE) == pytest.approx(0, abs=1e-9)
    assert stft_distance(noise, 0.1 * noise, SAMPLE_RATE) == pytest.approx(20, rel=1e-4)
    silence = np.zeros(SAMPLE_RATE)
    assert stft_distance(silence, silence, SAMPLE_RATE) == 0
    assert math.isnan(mel_cepstral_distortion(silence, noise, SAMPLE_RATE))
    # A filter with a zero at z = -0.5: its cepstra are those of 20 log10 |1 + z / 2|.
    filtered = noise + 0.5 * np.concatenate([[0.0], noise[:-1]])
    assert 1 < mel_cepstral_distortion(noise, filtered, SAMPLE_RATE) < 4
