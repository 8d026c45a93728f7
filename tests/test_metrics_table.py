"""Every metric of the table on the same sounds: best values, directions, no values, no crashes."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import soxr
from sounds import SAMPLE_RATE, babble, recorded_speech

from vqaudio import metrics
from vqaudio.errors import AudioError, VqaudioError
from vqaudio.metrics import METRICS, Waveform, missing

BEST = {
    "mel_distance": 0,
    "stft_distance": 0,
    "mel_cepstral_distortion": 0,
    "si_sdr": math.inf,
    "stoi": 1,
    "estoi": 1,
    "pesq_wb": 4.644,
    "pesq_nb": 4.549,
    "visqol": 5,
    "f0_error": 0,
    "voicing_error": 0,
    "speaker_similarity": 1,
}
ALL = [
    pytest.param(name, marks=[] if metric.reference else pytest.mark.slow)
    for name, metric in METRICS.items()
]
"""The networks that need no reference listen to 8 or 9 s, however short a sound is."""
HEARD = ("mel_distance", "stft_distance", "si_sdr", "mel_cepstral_distortion")
"""Those that have a value for any two sounds, or nearly so."""
TIME = np.arange(SAMPLE_RATE) / SAMPLE_RATE
NOISE = np.random.default_rng(0).standard_normal(20 * SAMPLE_RATE)
MUSIC = sum(0.1 * np.sin(2 * np.pi * f * TIME) * np.exp(-3 * TIME) for f in (262, 330, 392, 523))
BABBLE = babble(0, 0, seconds=2.0)
ODD = {
    "one sample": BABBLE[5000:5001],
    "10 ms": BABBLE[5000:5160],
    "100 ms": BABBLE[5000:6600],
    "tone": 0.5 * np.sin(2 * np.pi * 440 * TIME),
    "noise": 0.1 * NOISE[:SAMPLE_RATE],
    "music": MUSIC,
    "silence": np.zeros(SAMPLE_RATE),
    "click": np.eye(1, SAMPLE_RATE, 8000)[0],
    "constant": np.ones(SAMPLE_RATE),
    "faint": 1e-9 * BABBLE,
    "overdriven": 100 * BABBLE,
}


def compute(name: str, reference: Waveform, degraded: Waveform) -> float:
    if missing(name):
        pytest.skip(missing(name))
    return METRICS[name].compute(reference, degraded, SAMPLE_RATE)


@pytest.fixture(scope="module")
def speech() -> Waveform:
    """Five seconds of real speech that went through the bundled model."""
    return np.asarray(recorded_speech()[: 5 * SAMPLE_RATE], np.float64)


def with_noise(speech: Waveform, decibels: float) -> Waveform:
    noise = NOISE[: len(speech)]
    return speech + noise * np.sqrt((speech**2).mean() / 10 ** (decibels / 10))


def test_the_table_describes_itself() -> None:
    assert set(BEST) == {name for name, metric in METRICS.items() if metric.reference}
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.label
        assert metric.range
        assert metric.source
        assert bool(metric.needs) == bool(metric.module)
        assert 0 < metric.cost < 1


@pytest.mark.parametrize("name", BEST)
def test_a_waveform_against_itself_has_the_best_value(name: str, speech: Waveform) -> None:
    value = compute(name, speech, speech)
    assert value == pytest.approx(BEST[name], abs=2e-3)
    assert isinstance(value, float)


@pytest.mark.parametrize("name", sorted(set(BEST) - {"f0_error"}))
def test_more_noise_is_worse(name: str, speech: Waveform) -> None:
    values = [compute(name, speech, with_noise(speech, snr)) for snr in (40, 20, 0)]
    assert values == sorted(values, reverse=METRICS[name].direction == "higher")
    assert len(set(values)) == 3


@pytest.mark.parametrize("name", ["dnsmos", "distillmos"])
def test_without_a_reference_noise_is_heard_and_the_reference_ignored(
    name: str, speech: Waveform
) -> None:
    noisy = with_noise(speech, 0)
    assert 1 <= compute(name, speech, noisy) < compute(name, speech, speech) <= 5
    assert compute(name, NOISE[:100], noisy) == compute(name, speech, noisy)
    assert math.isnan(compute(name, speech, 0 * speech))


@pytest.mark.parametrize("name", ["dnsmos", "distillmos"])
def test_an_opinion_is_asked_where_the_recording_has_sound(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics.naturalness, f"_{name}", lambda: lambda *_: heard)
    heard = {"ovrl_mos": 3.0} if name == "dnsmos" else 3.0
    silence = np.zeros_like(BABBLE)
    for reference, degraded in ((silence, BABBLE), (BABBLE, silence), (silence, silence)):
        assert math.isnan(METRICS[name].compute(reference, degraded, SAMPLE_RATE))
    assert METRICS[name].compute(BABBLE, 0.5 * BABBLE, SAMPLE_RATE) == 3


@pytest.mark.parametrize("sound", ODD)
@pytest.mark.parametrize("name", ALL)
def test_odd_sounds_have_a_value_or_none_and_no_warning(name: str, sound: str) -> None:
    waveform = ODD[sound]
    for degraded in (waveform, 0.5 * waveform[::-1], np.zeros_like(waveform)):
        value = compute(name, waveform, degraded)
        assert isinstance(value, float)
        silent = sound == "silence" or (name == "si_sdr" and len(waveform) < 2)
        assert name not in HEARD or silent or not math.isnan(value)


@pytest.mark.parametrize("name", METRICS)
def test_what_cannot_be_compared(name: str) -> None:
    empty, broken = BABBLE[:0], np.full(len(BABBLE), math.nan)
    for degraded in (empty, broken, BABBLE[None]):
        with pytest.raises(AudioError, match="degraded waveform has"):
            compute(name, BABBLE, degraded)
    if METRICS[name].reference:
        with pytest.raises(AudioError, match="has 32000 samples, the degraded waveform 31999"):
            compute(name, BABBLE, BABBLE[:-1])


@pytest.mark.parametrize("sample_rate", [8000, 24000])
@pytest.mark.parametrize("name", ALL)
def test_other_sample_rates(name: str, sample_rate: int) -> None:
    if missing(name):
        pytest.skip(missing(name))
    waveform = soxr.resample(BABBLE, SAMPLE_RATE, sample_rate)
    value = METRICS[name].compute(waveform, waveform, sample_rate)
    if name in BEST:
        assert value == pytest.approx(BEST[name], abs=2e-3)


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.needs])
def test_what_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = METRICS[name]
    for module in list(sys.modules):
        if module.split(".")[0] == metric.module:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, metric.module, None)
    for cached in ("perceptual._visqol", "naturalness._dnsmos", "naturalness._distillmos"):
        module, function = cached.split(".")
        getattr(getattr(metrics, module), function).cache_clear()
    metrics.speaker._encoder.cache_clear()
    sentence = missing(name)
    assert f"needs {metric.needs}: pip install 'vqaudio[eval]'." in sentence
    with pytest.raises(VqaudioError, match=r"pip install 'vqaudio\[eval\]'"):
        metric.compute(BABBLE, BABBLE, SAMPLE_RATE)


def test_a_metric_that_is_none() -> None:
    with pytest.raises(VqaudioError, match="no metric 'loudness': choose from mel_distance, "):
        missing("loudness")


def test_importing_metrics_imports_nothing_heavy() -> None:
    heavy = ["torch", "librosa", "scipy.stats", "scipy.signal", "soxr", "transformers"]
    modules = sorted({metric.module for metric in METRICS.values()} - {""}) + heavy
    code = f"import sys, vqaudio.metrics; print([m for m in {modules} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_public_names_are_there() -> None:
    assert metrics.__all__ == sorted(metrics.__all__, key=lambda n: (not n.isupper(), n))
    assert all(hasattr(metrics, name) for name in metrics.__all__)
