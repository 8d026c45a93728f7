"""How much later a degraded waveform comes than its reference, and moving it back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import AudioError
from vqaudio.metrics.waveforms import Waveform, as_mono

SAME_WAVEFORM = 0.5
"""Normalised correlation of waveforms above which their own peak is believed."""
HOP_SECONDS = 0.001
"""Between the spectra, where waveforms are not kept."""
NUM_BANDS = 20


class Delay(NamedTuple):
    """Of a degraded waveform against its reference."""

    samples: int
    """Positive where the degraded waveform is late."""
    confidence: float
    """Height of the normalised correlation, 0 to 1; below about 0.3 there is no telling."""


def estimate_delay(
    reference: Waveform, degraded: Waveform, sample_rate: int, max_seconds: float = 0.25
) -> Delay:
    """The delay of at most `max_seconds` either way under which both waveforms agree best.

    To the sample where the codec keeps the waveform: the peak of the normalised cross-correlation,
    whatever its sign. Where it does not, to about two milliseconds: the peak of the correlation of
    the log energies of mel bands. (0, 0.0) where a waveform is silent. They may differ in length.

    Raises AudioError for arrays that are not [S] of numbers.

    >>> noise = np.random.default_rng(0).standard_normal(8000)
    >>> estimate_delay(noise, shift(noise, 100, 8000), 16000).samples
    -100
    """
    reference, degraded = as_mono(reference, "reference"), as_mono(degraded)
    if not (reference.any() and degraded.any()):
        return Delay(0, 0.0)
    waveforms = _peak(reference[None], degraded[None], round(max_seconds * sample_rate))
    if abs(waveforms.confidence) >= SAME_WAVEFORM:
        return Delay(waveforms.samples, abs(waveforms.confidence))
    hop = max(1, round(HOP_SECONDS * sample_rate))
    bands = _peak(
        _band_energies(reference, sample_rate, hop),
        _band_energies(degraded, sample_rate, hop),
        round(max_seconds * sample_rate / hop),
    )
    return Delay(bands.samples * hop, max(bands.confidence, 0.0))


def shift(waveform: Waveform, delay: int, num_samples: int) -> Waveform:
    """[S] -> [num_samples]: `delay` samples earlier, later if negative; zeros where there are none.

    What undoes `estimate_delay(reference, waveform, ...).samples`.

    >>> shift(np.array([0.0, 0.0, 1.0, 2.0]), 2, 3)
    array([1., 2., 0.])
    >>> shift(np.array([1.0, 2.0]), -1, 3)
    array([0., 1., 2.])
    """
    if waveform.ndim != 1:
        raise AudioError(f"a waveform to be shifted has the shape [S], not {list(waveform.shape)}")
    moved = np.zeros(num_samples, waveform.dtype)
    kept = waveform[max(delay, 0) :]
    start = max(-delay, 0)
    kept = kept[: max(num_samples - start, 0)]
    moved[start : start + len(kept)] = kept
    return moved


def _peak(reference: NDArray[np.float64], degraded: NDArray[np.float64], reach: int) -> Delay:
    """[rows, S], [rows, S'] -> where the sum of the rows' correlations is farthest from zero."""
    from scipy.signal import correlate, correlation_lags

    correlation = sum(
        correlate(late, early, method="fft")
        for early, late in zip(reference, degraded, strict=True)
    )
    lags = correlation_lags(degraded.shape[1], reference.shape[1])
    near = np.abs(lags) <= reach
    scale = np.sqrt((reference**2).sum() * (degraded**2).sum())
    if scale == 0:
        return Delay(0, 0.0)
    values = np.asarray(correlation)[near] / scale
    best = int(np.abs(values).argmax())
    return Delay(int(lags[near][best]), float(np.clip(values[best], -1, 1)))


def _band_energies(
    waveform: NDArray[np.float64], sample_rate: int, hop: int
) -> NDArray[np.float64]:
    """[S] -> [bands, frames]: log energies, each band around its mean."""
    import librosa

    size = 2 ** round(np.log2(16 * hop))
    spectrum = librosa.stft(np.pad(waveform, size // 2), n_fft=size, hop_length=hop, center=False)
    bank = librosa.filters.mel(sr=sample_rate, n_fft=4 * size, n_mels=NUM_BANDS)[:, ::4]
    energies = bank @ np.abs(spectrum) ** 2
    # A floor of 60 dB below the loudest: what is under it differs from codec to codec.
    decibels = 10 * np.log10(np.maximum(energies, energies.max() * 1e-6 + 1e-30))
    centred: NDArray[np.float64] = decibels - decibels.mean(axis=1, keepdims=True)
    return centred
