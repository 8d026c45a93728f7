"""How clear speech is, by the envelopes of its bands: hears no timbre."""

from __future__ import annotations

import math
import warnings

from vqaudio.metrics.libraries import load_library
from vqaudio.metrics.waveforms import Waveform, as_pair

STOI_SECONDS = 0.4
"""STOI correlates 30 frames of 25.6 ms, 12.8 ms apart; less sound than this has no value."""


def stoi(reference: Waveform, degraded: Waveform, sample_rate: int) -> float:
    """Short-time objective intelligibility: no unit, about 0 to 1, higher is better.

    Taal et al. 2011, IEEE TASLP 19(7), as pystoi computes it, at 10 kHz. nan where the reference
    is silent or has less than about 0.4 s of sound, not counting pauses (40 dB below its loudest
    frame): leave such files out of a mean.

    Raises VqaudioError when pystoi is not installed, AudioError.
    """
    return _correlation(reference, degraded, sample_rate, extended=False)


def estoi(reference: Waveform, degraded: Waveform, sample_rate: int) -> float:
    """Extended short-time objective intelligibility: no unit, about 0 to 1, higher is better.

    Jensen and Taal 2016, IEEE TASLP 24(11), as pystoi computes it, at 10 kHz: STOI that compares
    whole spectra, and so hears noise that comes and goes. Lower than STOI for the same sound. No
    value where STOI has none.

    Raises VqaudioError when pystoi is not installed, AudioError.
    """
    return _correlation(reference, degraded, sample_rate, extended=True)


def _correlation(
    reference: Waveform, degraded: Waveform, sample_rate: int, *, extended: bool
) -> float:
    compute = load_library("pystoi", "ESTOI" if extended else "STOI", "pystoi").stoi
    reference, degraded = as_pair(reference, degraded)
    if len(reference) < STOI_SECONDS * sample_rate or not reference.any():
        return math.nan
    with warnings.catch_warnings():
        # pystoi answers too little sound with a warning and the value 1e-5.
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(compute(reference, degraded, sample_rate, extended=extended))
        except RuntimeWarning:
            return math.nan
