"""What every system does to a waveform before its coder and after it."""

from __future__ import annotations

import numpy as np

from vqaudio.audio import as_waveform, resample
from vqaudio.errors import AudioError
from vqaudio.systems.system import Waveform


def to_rate(waveform: Waveform, source_rate: int, target_rate: int) -> Waveform:
    """[S] -> [ceil(S * target_rate / source_rate)], by soxr HQ, which adds no delay."""
    resampled: Waveform = resample(waveform[None], source_rate, target_rate)[0]
    return resampled


def checked(waveform: Waveform, sample_rate: int) -> Waveform:
    """`waveform` if it can be carried.

    Raises AudioError for another shape, no samples, samples that are no numbers, or an impossible
    sample rate.
    """
    if np.ndim(waveform) != 1:
        raise AudioError(f"a system carries mono waveforms [S], not {list(np.shape(waveform))}")
    mono: Waveform = as_waveform(waveform, sample_rate, target_rate=sample_rate)[0]
    return mono


def fit(waveform: Waveform, num_samples: int) -> Waveform:
    """[S] -> [num_samples], cut or filled with silence at its end.

    >>> fit(np.ones(3, np.float32), 5)
    array([1., 1., 1., 0., 0.], dtype=float32)
    """
    cut = waveform[:num_samples]
    return np.pad(cut, (0, num_samples - len(cut))).astype(np.float32, copy=False)


def whole_frames(waveform: Waveform, frame: int) -> Waveform:
    """[S] -> [the next multiple of `frame`], filled with silence: encoders drop what is over."""
    return fit(waveform, -(-len(waveform) // frame) * frame)
