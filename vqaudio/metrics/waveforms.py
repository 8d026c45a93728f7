"""What every metric asks of its arrays, and the rate that some metrics are defined at."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import AudioError

Waveform = NDArray[np.floating[Any]]
"""Mono [S], full scale 1."""


class Pair(NamedTuple):
    """Two float64 waveforms [S] of equal length that can be compared."""

    reference: NDArray[np.float64]
    degraded: NDArray[np.float64]


def as_pair(reference: Waveform, degraded: Waveform) -> Pair:
    """Both as float64, once it is sure that they can be compared.

    Raises AudioError for another shape than [S], no samples, samples that are not numbers, and
    unequal lengths.
    """
    checked = Pair(as_mono(reference, "reference"), as_mono(degraded, "degraded"))
    if len(reference) != len(degraded):
        raise AudioError(
            f"the reference has {len(reference)} samples, the degraded waveform {len(degraded)}: "
            "cut both to the same part of the recording."
        )
    return checked


def as_mono(waveform: Waveform, name: str = "degraded") -> NDArray[np.float64]:
    """[S] as float64. Raises AudioError, which calls the waveform by its `name`."""
    if waveform.ndim != 1 or len(waveform) == 0:
        raise AudioError(
            f"the {name} waveform has the shape {list(waveform.shape)}: measures take mono "
            "arrays [S] of at least one sample."
        )
    if not np.isfinite(waveform).all():
        raise AudioError(f"the {name} waveform has samples that are not numbers.")
    return waveform.astype(np.float64)


def at_rate(
    waveform: NDArray[np.float64], sample_rate: int, target_rate: int
) -> NDArray[np.float64]:
    """[S] -> [about S * target_rate / sample_rate], by soxr in its high quality."""
    if sample_rate == target_rate:
        return waveform
    import soxr

    resampled: NDArray[np.float64] = soxr.resample(waveform, sample_rate, target_rate, quality="HQ")
    return resampled
