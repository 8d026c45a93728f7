"""Sound that is already in memory: the checks, downmix and resampling that a file gets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.audio.reading import check_samples, downmix, no_samples
from vqaudio.audio.resampling import resample
from vqaudio.errors import AudioError

MAX_CHANNELS = 64
"""More "channels" than this are samples in the wrong place."""


def as_waveform(samples: ArrayLike, sample_rate: int, *, target_rate: int) -> NDArray[np.float32]:
    """[S] or [channels, S] at `sample_rate` Hz -> waveform [1, ceil(S * target / sample_rate)].

    Floats count as full scale 1, integers as full scale of their type. NumPy arrays, torch tensors
    on CPU, lists. The samples are those that reading a file of them would give.

    Raises:
        AudioError: no samples, more than two dimensions, samples before channels, NaN or infinite
            samples, floats far out of range.
    """
    array = np.asarray(samples)
    if array.ndim not in (1, 2):
        raise AudioError(f"samples have the shape [S] or [channels, S], not {list(array.shape)}")
    if array.size == 0:
        raise no_samples("the waveform")
    channels = array.reshape(-1, array.shape[-1])
    if len(channels) > MAX_CHANNELS or len(channels) > channels.shape[1] > 1:
        raise AudioError(
            f"samples of shape {list(array.shape)} would be {len(channels)} channels of "
            f"{channels.shape[1]} samples; transpose them to [channels, S]"
        )
    block = np.ascontiguousarray(_as_float(channels).T)
    check_samples(block, "the waveform", 0, sample_rate)
    return resample(downmix(block)[None], sample_rate, target_rate)


def _as_float(samples: NDArray[Any]) -> NDArray[np.float32]:
    if samples.dtype.kind == "i":
        full_scale = 2 ** (8 * samples.dtype.itemsize - 1)
        return (samples / full_scale).astype(np.float32)
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    raise AudioError(
        f"samples of type {samples.dtype} are no waveform; give floats in [-1, 1] or signed integers"
    )
