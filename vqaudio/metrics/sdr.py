"""The waveform itself: what a codec that draws new phases cannot keep."""

from __future__ import annotations

import math

from vqaudio.metrics.waveforms import Waveform, as_pair

ROUNDING = 1e-20
"""Of the target's energy, 200 dB below it: rounding to float64 leaves distortion at some -310 dB,
and no samples hold one as faint as -200, float32 ends at about -150."""


def si_sdr(reference: Waveform, degraded: Waveform) -> float:
    """Scale-invariant signal-to-distortion ratio: dB, any value, higher is better.

    Le Roux et al. 2019, arXiv:1811.02508, without removal of the mean. inf where the waveforms
    differ by a factor and rounding only (above 200 dB), -inf where `degraded` has nothing of the
    reference, silence included; nan where the reference is silent, and of a single sample, which
    any other is a multiple of.

    Raises AudioError.

    >>> import numpy as np
    >>> reference = np.array([1.0, 0.0, 0.0])
    >>> si_sdr(reference, np.array([0.5, 0.05, 0.0]))
    20.0
    """
    reference, degraded = as_pair(reference, degraded)
    energy = reference @ reference
    if energy == 0 or len(reference) < 2:
        return math.nan
    target = (degraded @ reference) / energy * reference
    distortion = degraded - target
    kept, lost = float(target @ target), float(distortion @ distortion)
    if kept == 0:
        return -math.inf
    if lost <= ROUNDING * kept:
        return math.inf
    return 10 * (math.log10(kept) - math.log10(lost))
