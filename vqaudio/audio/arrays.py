"""Sound that is already in memory: the checks, downmix and resampling that a file gets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.audio.reading import check_samples, downmix, no_samples
from vqaudio.audio.resampling import check_sample_rate, resample
from vqaudio.errors import AudioError

MAX_CHANNELS = 64
"""More "channels" than this are samples in the wrong place."""


def as_waveform(samples: ArrayLike, sample_rate: int, *, target_rate: int) -> NDArray[np.float32]:
    """[S] or [channels, S] at `sample_rate` Hz -> waveform [1, ceil(S * target / sample_rate)].

    Floats have full scale 1, integers of 8 to 32 bits that of their type. NumPy arrays, torch
    tensors on CPU, lists of floats. The samples are those that reading a file of them would give.

    Raises:
        AudioError: an impossible sample rate, no samples, more than two dimensions, samples before
            channels, NaN or infinite samples, floats far out of range, other types.
    """
    sample_rate = check_sample_rate(sample_rate, "the source rate")
    mono = as_mono(samples, sample_rate)
    if mono.size == 0:
        raise no_samples("the waveform")
    return resample(mono[None], sample_rate, target_rate)


def as_mono(
    samples: ArrayLike, sample_rate: int, *, position: int = 0, num_channels: int | None = None
) -> NDArray[np.float32]:
    """[S] or [channels, S] -> [S], S >= 0; part of a sound from sample `position` on.

    `num_channels` is that of the sound, where it is known.

    Raises AudioError as `as_waveform`, which takes no fewer than one sample, and for another number
    of channels.
    """
    array = as_array(samples)
    if array.ndim not in (1, 2):
        raise AudioError(f"samples have the shape [S] or [channels, S], not {list(array.shape)}")
    if array.size == 0:
        return np.zeros(0, np.float32)
    channels = array.reshape(-1, array.shape[-1])
    if num_channels is not None and len(channels) != num_channels:
        raise AudioError(
            f"samples of {len(channels)} channels came, those before were of {num_channels}"
        )
    if num_channels is None and _is_turned(*channels.shape):
        raise AudioError(
            f"samples of shape {list(array.shape)} would be {len(channels)} channels of "
            f"{channels.shape[1]} samples; transpose them to [channels, S]"
        )
    block = np.ascontiguousarray(_as_float(channels).T)
    check_samples(block, "the waveform", position, sample_rate)
    return downmix(block)


def _is_turned(num_channels: int, num_samples: int) -> bool:
    """Whether these are more likely samples before channels."""
    return num_channels > MAX_CHANNELS or num_channels > num_samples > 1


def as_array(samples: ArrayLike) -> NDArray[Any]:
    """Samples as NumPy sees them; raises AudioError where it cannot, as for a ragged list."""
    tensor: Any = samples
    if hasattr(tensor, "detach"):  # of torch, which is not imported here
        tensor = tensor.detach().cpu()
        # NumPy lacks bfloat16 and the floats of 8 bits.
        narrow = tensor.is_floating_point() and tensor.element_size() <= 2
        samples = (tensor.float() if narrow else tensor).numpy()
    try:
        return np.asarray(samples)
    except (TypeError, ValueError) as error:
        raise AudioError(
            f"{type(samples).__name__} cannot be read as samples [S] or [channels, S]: {error}"
        ) from None


def _as_float(samples: NDArray[Any]) -> NDArray[np.float32]:
    # Not of 64 bits: lists of integers and sums of int16 have that type, but not its full scale.
    if samples.dtype.kind == "i" and samples.dtype.itemsize < 8:
        full_scale = 2 ** (8 * samples.dtype.itemsize - 1)
        return np.asarray(samples / full_scale, np.float32)
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what becomes infinite is refused as such
            return samples.astype(np.float32)
    raise AudioError(
        f"samples of type {samples.dtype} are no waveform; give floats in [-1, 1], int16 or int32"
    )
