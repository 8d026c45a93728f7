"""Spectra side by side: distances that hear timbre and no phase."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqaudio.metrics.waveforms import Waveform, as_pair

MEL_WINDOWS = (128, 256, 512, 1024, 2048)
"""Samples."""
MEL_FLOOR = 1e-5
"""Mel amplitude under which two sounds count as equally silent."""
STFT_WINDOWS = (512, 1024, 2048)
"""Samples; hops of a quarter."""


def mel_distance(reference: Waveform, degraded: Waveform, sample_rate: int) -> float:
    """Multi-scale log-mel distance: mean |ln mel - ln mel|, 0 to about 20, lower is better.

    What `vqaudio.losses.MultiScaleMelLoss` minimises with its usual windows: amplitude spectra
    from Hann windows of 128 to 2048 samples, a hop of a quarter window, a mel band for every 16
    samples of it (DAC, Kumar et al. 2023, arXiv:2306.06546, section 3.4). 1 is 8.7 dB.

    Raises AudioError.
    """
    reference, degraded = as_pair(reference, degraded)
    distances = [
        np.abs(
            _log_mel(degraded, window, sample_rate) - _log_mel(reference, window, sample_rate)
        ).mean()
        for window in MEL_WINDOWS
    ]
    return float(np.mean(distances))


def stft_distance(reference: Waveform, degraded: Waveform, sample_rate: int) -> float:
    """Multi-resolution log-amplitude STFT distance: dB, 0 to about 100, lower is better.

    The mean over bins, frames and resolutions of |20 log10 amplitude - 20 log10 amplitude|: the
    second term of the multi-resolution STFT loss (Yamamoto et al. 2020, Parallel WaveGAN,
    arXiv:1910.11480, equation 5), without its spectral convergence, which hears little but the
    loudest bins. Hann windows of 512, 1024 and 2048 samples, whatever the sample rate; amplitudes
    below 1e-5 of full scale count as that. All bins weigh alike, so half of the value at 16 kHz is
    what happens above 4 kHz.

    Raises AudioError.
    """
    reference, degraded = as_pair(reference, degraded)
    distances = [
        np.abs(_decibels(degraded, window) - _decibels(reference, window)).mean()
        for window in STFT_WINDOWS
    ]
    return float(np.mean(distances))


def _log_mel(waveform: NDArray[np.float64], window: int, sample_rate: int) -> NDArray[np.float64]:
    """[S] -> [bands, frames]."""
    import librosa  # takes a second to import

    bank = librosa.filters.mel(
        sr=sample_rate, n_fft=window, n_mels=window // 16, norm="slaney", dtype=np.float64
    )
    # The filters' heights sum to about one.
    mel = bank @ _amplitudes(waveform, window) * (sample_rate / window)
    result: NDArray[np.float64] = np.log(np.maximum(mel, MEL_FLOOR))
    return result


def _decibels(waveform: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """[S] -> [bins, frames]."""
    result: NDArray[np.float64] = 20 * np.log10(
        np.maximum(_amplitudes(waveform, window), MEL_FLOOR)
    )
    return result


def _amplitudes(waveform: NDArray[np.float64], window: int) -> NDArray[Any]:
    """[S] -> [bins, frames]: a sine of full scale has amplitude 1 at its bin."""
    import librosa

    shape = librosa.filters.get_window("hann", window)
    spectrum = librosa.stft(
        # Padded here: librosa warns of sounds that are shorter than its window.
        np.pad(waveform, window // 2),
        n_fft=window,
        hop_length=window // 4,
        window=shape,
        center=False,
    )
    amplitudes: NDArray[Any] = np.abs(spectrum) * (2 / shape.sum())
    return amplitudes
