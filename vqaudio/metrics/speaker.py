"""Whether it is still the same voice."""

from __future__ import annotations

import math
import sys
import warnings
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqaudio.metrics.libraries import load_library
from vqaudio.metrics.waveforms import Waveform, as_pair, at_rate

MODEL_RATE = 16_000
LEAST_SECONDS = 0.4
"""Less says little of a speaker; the network listens to 1.6 s, with zeros where there is less."""
LEVEL = 10 ** (-30 / 20)
"""Root mean square that the network was trained with: -30 dB of full scale."""


def speaker_similarity(reference: Waveform, degraded: Waveform, sample_rate: int) -> float:
    """Speaker similarity: cosine of two embeddings, 0 to 1, higher is better.

    Wan et al. 2018, arXiv:1710.10467 (GE2E), by the network of the library resemblyzer, at 16 kHz,
    on the CPU; both waveforms are brought to its level, and pauses stay in. Recordings of one
    speaker have about 0.7 to 0.95, of two about 0.4 to 0.7, so compare systems with each other
    only. Its embeddings have no negative entries, so that no cosine is below 0. The network is of
    2019 and small: it hears timbre and pitch, and the channel too. nan where a waveform is silent,
    and below 0.4 s.

    Raises VqaudioError when resemblyzer is not installed, AudioError.
    """
    encoder = _encoder()
    pair = as_pair(reference, degraded)
    if len(pair.reference) < LEAST_SECONDS * sample_rate:
        return math.nan
    if not (pair.reference.any() and pair.degraded.any()):
        return math.nan
    first, second = (
        encoder.embed_utterance(_levelled(at_rate(waveform, sample_rate, MODEL_RATE)))
        for waveform in pair
    )
    # The embeddings have length one, but for float32.
    return float(np.clip(first @ second, -1.0, 1.0))


def _levelled(waveform: NDArray[np.float64]) -> NDArray[np.float32]:
    loudness = np.sqrt(np.mean(waveform**2))
    levelled: NDArray[np.float32] = (waveform * (LEVEL / loudness)).astype(np.float32)
    return levelled


@cache
def _encoder() -> Any:
    library = _resemblyzer()
    return library.VoiceEncoder("cpu", verbose=False)


def _resemblyzer() -> Any:
    """The library, also where its detector of voices, which is not used here, is out of order.

    webrtcvad asks for pkg_resources, which setuptools has no longer since version 82.
    """
    with warnings.catch_warnings():
        # Of a name that SciPy moved, and of pkg_resources where it still is.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
        if "webrtcvad" in sys.modules or find_spec("pkg_resources") is not None:
            return load_library("resemblyzer", "Speaker similarity", "resemblyzer")
        sys.modules["webrtcvad"] = ModuleType("webrtcvad")
        try:
            return load_library("resemblyzer", "Speaker similarity", "resemblyzer")
        finally:
            del sys.modules["webrtcvad"]
