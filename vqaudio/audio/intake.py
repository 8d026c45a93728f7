"""Sound that arrives in blocks of any size and kind, as mono samples at one rate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.audio.arrays import as_array, as_mono
from vqaudio.audio.reading import no_samples
from vqaudio.audio.resampling import Resampler
from vqaudio.errors import AudioError


class Block(NamedTuple):
    """Samples that can be taken."""

    samples: NDArray[np.float32]
    """[S], mono."""
    num_channels: int | None
    """Of the input; None of no samples."""


class Intake:
    """Checked, mixed to mono and resampled, as one sound: however it was cut into blocks."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        """Hz, of what arrives and of what is given."""
        self.num_samples = 0
        """Per channel, at the rate of the input."""
        self.num_channels: int | None = None
        """Of the input, once some has come."""
        self._resampler = Resampler(source_rate, target_rate)

    @property
    def source_rate(self) -> int:
        """Hz, of what arrives."""
        return self._resampler.source_rate

    def check(self, samples: ArrayLike) -> Block:
        """[S] or [channels, S], any S, as `take` wants it; changes nothing.

        Raises AudioError for what is no sound, and for another number of channels than before.
        """
        array = as_array(samples)
        if array.size and self.num_channels is None and array.shape[-1] == 1 and array.size > 8:
            raise AudioError(
                f"samples of shape {list(array.shape)} would be {array.size} channels of one "
                "sample; transpose them to [channels, S]"
            )
        mono = as_mono(
            array,
            self.source_rate,
            position=self.num_samples,
            num_channels=self.num_channels,
        )
        return Block(mono, array.size // mono.size if mono.size else None)

    def take(self, block: Block) -> NDArray[np.float32]:
        """[n] at the target rate: what is known by now."""
        if self.num_channels is None:
            self.num_channels = block.num_channels
        self.num_samples += block.samples.size
        return self._resampler.push(block.samples)

    def check_some(self) -> None:
        """Raises AudioError where no samples have come."""
        if self.num_samples == 0:
            raise no_samples("the stream")

    def finish(self) -> NDArray[np.float32]:
        """[n] at the target rate: the samples still owed. Once, after the last block."""
        return self._resampler.finish()
