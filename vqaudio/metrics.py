"""How near a degraded waveform is to its reference.

Both are mono arrays [S] of equal length, floating point, full scale 1; at another length, shape or
with samples that are no numbers, AudioError. No measure tells the whole story: STOI hears
intelligibility and no timbre, the mel distance hears spectra and no phase, SI-SDR hears the
waveform itself, which a codec that draws new phases cannot keep.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import AudioError, VqaudioError

MEL_WINDOWS = (128, 256, 512, 1024, 2048)
"""Samples."""
MEL_FLOOR = 1e-5
"""Mel amplitude under which two sounds count as equally silent."""
STOI_SECONDS = 0.4
"""STOI correlates 30 frames of 25.6 ms, 12.8 ms apart; less sound than this has no value."""

Waveform = NDArray[np.floating[Any]]


def stoi(reference: Waveform, degraded: Waveform, sample_rate: int) -> float:
    """Short-time objective intelligibility: no unit, about 0 to 1, higher is better.

    Taal et al. 2011, IEEE TASLP 19(7), as pystoi computes it, at 10 kHz. nan where the reference
    is silent or has less than about 0.4 s of sound, not counting pauses (40 dB below its loudest
    frame): leave such files out of a mean.

    Raises VqaudioError when pystoi is not installed, AudioError.
    """
    try:
        from pystoi import stoi as compute
    except ImportError:
        raise VqaudioError("STOI needs pystoi: pip install 'vqaudio[eval]'.") from None
    reference, degraded = _pair(reference, degraded)
    if len(reference) < STOI_SECONDS * sample_rate or not reference.any():
        return math.nan
    with warnings.catch_warnings():
        # pystoi answers too little sound with a warning and the value 1e-5.
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(compute(reference, degraded, sample_rate))
        except RuntimeWarning:
            return math.nan


def mel_distance(reference: Waveform, degraded: Waveform, sample_rate: int) -> float:
    """Multi-scale log-mel distance: mean |ln mel - ln mel|, 0 to about 20, lower is better.

    What `vqaudio.losses.MultiScaleMelLoss` minimises with its usual windows: amplitude spectra
    from Hann windows of 128 to 2048 samples, a hop of a quarter window, a mel band for every 16
    samples of it (DAC, Kumar et al. 2023, arXiv:2306.06546, section 3.4). 1 is 8.7 dB.

    Raises AudioError.
    """
    reference, degraded = _pair(reference, degraded)
    distances = [
        np.abs(
            _log_mel(degraded, window, sample_rate) - _log_mel(reference, window, sample_rate)
        ).mean()
        for window in MEL_WINDOWS
    ]
    return float(np.mean(distances))


def si_sdr(reference: Waveform, degraded: Waveform) -> float:
    """Scale-invariant signal-to-distortion ratio: dB, any value, higher is better.

    Le Roux et al. 2019, arXiv:1811.02508, without removal of the mean. inf where the waveforms
    differ by a factor only, -inf where `degraded` has nothing of the reference, silence included;
    nan where the reference is silent.

    Raises AudioError.

    >>> reference = np.array([1.0, 0.0, 0.0])
    >>> si_sdr(reference, np.array([0.5, 0.05, 0.0]))
    20.0
    """
    reference, degraded = _pair(reference, degraded)
    energy = reference @ reference
    if energy == 0:
        return math.nan
    target = (degraded @ reference) / energy * reference
    distortion = degraded - target
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log10(target @ target) - np.log10(distortion @ distortion)
    # Both are silent only where `degraded` is.
    return -math.inf if math.isnan(ratio) else float(10 * ratio)


class Interval(NamedTuple):
    """A mean over files, and the limits that hold it with the stated confidence."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """The mean of `values`, in their unit, and its percentile bootstrap interval.

    One value a file: files are what another test set would differ in, so files are redrawn (Efron
    and Tibshirani 1993, chapter 13). The seed is fixed. nan values are left out; with none left
    the mean is nan. The limits are nan with fewer than two values, or with an infinite one.
    """
    from scipy.stats import bootstrap  # a second to import

    kept = [float(value) for value in values if not math.isnan(value)]
    mean = sum(kept) / len(kept) if kept else math.nan
    if len(kept) < 2 or not math.isfinite(mean):
        return Interval(mean, math.nan, math.nan)
    found = bootstrap(
        (kept,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def _pair(reference: Waveform, degraded: Waveform) -> tuple[Waveform, Waveform]:
    """Both as float64, once it is sure that they can be compared."""
    for name, waveform in (("reference", reference), ("degraded", degraded)):
        if waveform.ndim != 1 or len(waveform) == 0:
            raise AudioError(
                f"the {name} waveform has the shape {list(waveform.shape)}: measures take mono "
                "arrays [S] of at least one sample."
            )
        if not np.isfinite(waveform).all():
            raise AudioError(f"the {name} waveform has samples that are not numbers.")
    if len(reference) != len(degraded):
        raise AudioError(
            f"the reference has {len(reference)} samples, the degraded waveform {len(degraded)}: "
            "cut both to the same part of the recording."
        )
    return reference.astype(np.float64), degraded.astype(np.float64)


def _log_mel(waveform: Waveform, window: int, sample_rate: int) -> NDArray[np.float64]:
    """[S] -> [bands, frames]."""
    import librosa  # takes a second to import

    shape = librosa.filters.get_window("hann", window)
    spectrum = librosa.stft(
        # Padded here: librosa warns of sounds that are shorter than its window.
        np.pad(waveform, window // 2),
        n_fft=window,
        hop_length=window // 4,
        window=shape,
        center=False,
    )
    bank = librosa.filters.mel(
        sr=sample_rate, n_fft=window, n_mels=window // 16, norm="slaney", dtype=np.float64
    )
    # A sine of full scale has amplitude 1 at its bin, and the filters' heights sum to about one.
    amplitude = np.abs(spectrum) * (2 / shape.sum())
    mel = bank @ amplitude * (sample_rate / window)
    result: NDArray[np.float64] = np.log(np.maximum(mel, MEL_FLOOR))
    return result
