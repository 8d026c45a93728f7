"""Models of listening: a degraded waveform against its reference, on a scale of opinions."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

from vqaudio.metrics.libraries import load_library
from vqaudio.metrics.waveforms import Waveform, as_pair, at_rate

PESQ_SECONDS = 0.25
"""Less than this PESQ cannot align."""
PESQ_LONGEST = 20.0
"""Seconds. P.862 is made for 8 to 30; the library has room for 50 utterances and does not return
where a recording has more."""
VISQOL_SECONDS = 0.5
"""ViSQOL compares patches of 20 frames, 20 ms apart."""


def pesq_wb(reference: Waveform, degraded: Waveform, sample_rate: int) -> float:
    """Wideband PESQ: MOS-LQO, 1.04 to 4.64, higher is better.

    ITU-T P.862.2 (2007), by the library pesq, at 16 kHz. nan where it finds no speech, and below
    0.25 s; more than 20 s are cut into equal parts, whose mean it is. Made for telephony: shifts in
    time and level do not count, neural codecs that draw new phases come off worse than with people,
    and of music it says little.

    Raises VqaudioError when pesq is not installed, AudioError.
    """
    return _pesq(reference, degraded, sample_rate, 16_000, "wb")


def pesq_nb(reference: Waveform, degraded: Waveform, sample_rate: int) -> float:
    """Narrowband PESQ: MOS-LQO, 1.02 to 4.56, higher is better.

    ITU-T P.862 (2001) mapped to opinions by P.862.1, by the library pesq, at 8 kHz: what lies
    above 4 kHz is not heard. nan and limits as for `pesq_wb`, and not to be compared with it.

    Raises VqaudioError when pesq is not installed, AudioError.
    """
    return _pesq(reference, degraded, sample_rate, 8_000, "nb")


def visqol(reference: Waveform, degraded: Waveform, sample_rate: int) -> float:
    """ViSQOL in speech mode: MOS-LQO, 1 to 5, higher is better.

    Chinen et al. 2020, arXiv:2004.09584, by visqol-python, a port of Google's program, at 16 kHz,
    with the exponential mapping to opinions that needs no TensorFlow; Google's program maps by a
    network since version 3.2 and gives other values. nan where the reference or the degraded
    waveform is silent, and below 0.5 s.

    Raises VqaudioError when visqol-python is not installed, AudioError.
    """
    api = _visqol()
    reference, degraded = as_pair(reference, degraded)
    if len(reference) < VISQOL_SECONDS * sample_rate or not (reference.any() and degraded.any()):
        return math.nan
    reference, degraded = (at_rate(x, sample_rate, 16_000) for x in (reference, degraded))
    import torch

    # The library's loops take every core, and numba tells OpenMP, and so torch, to do the same:
    # where cores are busy, torch would be thirty times as slow from here on.
    threads = torch.get_num_threads()
    try:
        return float(api.measure_from_arrays(reference, degraded, 16_000).moslqo)
    finally:
        torch.set_num_threads(threads)


def _pesq(reference: Waveform, degraded: Waveform, sample_rate: int, rate: int, mode: str) -> float:
    library = load_library("pesq", "PESQ", "pesq")
    pair = as_pair(reference, degraded)
    reference, degraded = (at_rate(waveform, sample_rate, rate) for waveform in pair)
    parts = math.ceil(len(reference) / (PESQ_LONGEST * rate))
    values = []
    for first, second in zip(
        np.array_split(reference, parts), np.array_split(degraded, parts), strict=True
    ):
        # Of a silent waveform the library makes a division by zero.
        if len(first) < PESQ_SECONDS * rate or not (first.any() and second.any()):
            continue
        with suppress(library.NoUtterancesError, library.BufferTooShortError):
            values.append(library.pesq(rate, first, second, mode))
    return float(np.mean(values)) if values else math.nan


@cache
def _visqol() -> Any:
    api = load_library("visqol", "ViSQOL", "visqol-python").VisqolApi()
    api.create(mode="speech", use_lattice_model=False)
    return api
