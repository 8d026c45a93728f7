"""The spectral envelope, as a vocoder's parameters tell it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vqaudio.metrics.waveforms import Waveform, as_pair

WINDOW_SECONDS = 0.025
HOP_SECONDS = 0.01
NUM_BANDS = 40
NUM_CEPSTRA = 13
"""c1 to c13."""
HEARD_RANGE = 40.0
"""dB below the loudest frame of the reference, beneath which a frame is a pause."""
FLOOR = 1e-10
"""Mel power under which all is equally silent: 1e-5 of full scale."""


def mel_cepstral_distortion(reference: Waveform, degraded: Waveform, sample_rate: int) -> float:
    """Mel-cepstral distortion: dB, 0 and up, lower is better.

    (10 / ln 10) sqrt(2 sum of (c_k - c'_k)^2 over k = 1 to 13), mean over frames (Kubichek 1993,
    IEEE PACRIM): without c0, so that level is not heard. Frame t is compared with frame t, for
    codecs keep time; there is no dynamic time warping, and a delay has to be taken out before.
    Left out are frames more than 40 dB below the loudest of the reference.

    The cepstra come from the logarithm of the power in 40 mel bands (Slaney) up to half the sample
    rate, Hann windows of 25 ms every 10 ms, c_k = 1/N sum of ln power_n cos(pi k (n + 1/2) / N):
    those of the envelope ln |H| = c0 + sum of c_k cos over the mel scale. Values of other programs,
    from WORLD envelopes or with time warping, differ by dB. nan where the reference is silent.

    Raises AudioError.
    """
    reference, degraded = as_pair(reference, degraded)
    if not reference.any():
        return math.nan
    first, second = (_log_mel_power(x, sample_rate) for x in (reference, degraded))
    level = np.exp(first).sum(axis=0)
    heard = level >= level.max() * 10 ** (-HEARD_RANGE / 10)
    change = _cepstra(second[:, heard]) - _cepstra(first[:, heard])
    return float(np.mean(10 / math.log(10) * np.sqrt(2 * (change**2).sum(axis=0))))


def _log_mel_power(waveform: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """[S] -> [bands, T]."""
    import librosa  # takes a second to import

    window = round(WINDOW_SECONDS * sample_rate)
    # With bins closer than the lowest bands are wide no band is empty.
    size = 4 * 2 ** math.ceil(math.log2(window))
    shape = librosa.filters.get_window("hann", window)
    spectrum = librosa.stft(
        np.pad(waveform, size // 2),
        n_fft=size,
        hop_length=round(HOP_SECONDS * sample_rate),
        win_length=window,
        window=shape,
        center=False,
    )
    bank = librosa.filters.mel(sr=sample_rate, n_fft=size, n_mels=NUM_BANDS, dtype=np.float64)
    bank /= bank.sum(axis=1, keepdims=True)
    power = bank @ np.abs(spectrum * (2 / shape.sum())) ** 2
    result: NDArray[np.float64] = np.log(np.maximum(power, FLOOR))
    return result


def _cepstra(log_power: NDArray[np.float64]) -> NDArray[np.float64]:
    """[bands, T] -> [cepstra, T], without c0."""
    from scipy.fft import dct

    # dct doubles its sums. A factor of 2 belongs to the cosine series, 1/2 to ln |H|.
    cepstra: NDArray[np.float64] = dct(log_power, axis=0)[1 : NUM_CEPSTRA + 1] / (2 * NUM_BANDS)
    return cepstra
