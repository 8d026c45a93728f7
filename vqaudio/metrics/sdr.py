"""The waveform itself: what a codec that draws new phases cannot keep."""

from __future__ import annotations

import math

import numpy as np

from vqaudio.metrics.waveforms import Waveform, as_pair


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
    reference, degraded = as_pair(reference, degraded)
    energy = reference @ reference
    if energy == 0:
        return math.nan
    target = (degraded @ reference) / energy * reference
    distortion = degraded - target
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log10(target @ target) - np.log10(distortion @ distortion)
    # Both are silent only where `degraded` is.
    return -math.inf if math.isnan(ratio) else float(10 * ratio)
