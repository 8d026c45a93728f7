"""One streaming resampler for files and for arrays, so that both give the same samples."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from vqaudio.errors import AudioError

# Outside this range a header is damaged rather than a recording unusual, and the ratio of two
# rates, so the memory and the delay of the resampler, stays bounded.
MIN_SAMPLE_RATE = 1_000  # Hz
MAX_SAMPLE_RATE = 768_000  # Hz


class Resampler:
    """Blocks [n] at `source_rate` -> blocks [m] at `target_rate` (Hz), for one waveform.

    Output sample i lies at the time i / target_rate of the input: no delay. S samples in give
    exactly ceil(S * target_rate / source_rate) out, however they were cut into blocks, and the same
    bits: soxr's state is a sample position, not a block (the tests hold it to that).
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self.source_rate = check_sample_rate(source_rate, "the source rate")
        self.target_rate = check_sample_rate(target_rate, "the target rate")
        self.source_num_samples = 0
        self.num_samples = 0
        self._stream: Any = None
        if source_rate != target_rate:
            self._stream = soxr.ResampleStream(
                source_rate, target_rate, 1, dtype="float32", quality="HQ"
            )

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n] -> [m]: what can be said so far; m may be 0, the filter looks ahead."""
        self.source_num_samples += len(block)
        output = block if self._stream is None else self._run(block)
        self.num_samples += len(output)
        return output

    def finish(self) -> NDArray[np.float32]:
        """[m]: the samples still owed. Call once, after the last block."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        owed = -(-self.source_num_samples * self.target_rate // self.source_rate) - self.num_samples
        # soxr's own flush stops at the nearest integer, so it is often one sample short of the
        # ceiling (44100 -> 16000 Hz turns one sample into none). Two output samples of silence,
        # which soxr assumes after the end anyway, bring it past the ceiling; the rest is cut off.
        silence = np.zeros(-(-2 * self.source_rate // self.target_rate), np.float32)
        tail = np.concatenate([self._run(silence), self._run(silence[:0], last=True)])
        assert 0 <= owed <= len(tail)
        self.num_samples += owed
        return tail[:owed]

    def _run(self, block: NDArray[np.float32], last: bool = False) -> NDArray[np.float32]:
        output: NDArray[np.float32] = self._stream.resample_chunk(block, last=last)
        return output


def resample(
    waveform: NDArray[np.float32], source_rate: int, target_rate: int
) -> NDArray[np.float32]:
    """[1, S] -> [1, ceil(S * target_rate / source_rate)], the samples that reading a file gives.

    Raises:
        AudioError: not the shape [1, S], or a rate outside of 1,000 to 768,000 Hz.

    >>> resample(np.zeros((1, 44101), np.float32), 44100, 16000).shape
    (1, 16001)
    """
    if waveform.ndim != 2 or waveform.shape[0] != 1:
        raise AudioError(f"a waveform has the shape [1, S], not {list(waveform.shape)}")
    resampler = Resampler(source_rate, target_rate)
    block = np.ascontiguousarray(waveform[0], np.float32)
    return np.concatenate([resampler.push(block), resampler.finish()])[None]


def check_sample_rate(sample_rate: int, what: str) -> int:
    """Returns `sample_rate` (Hz); raises AudioError, naming `what`, if no sound has such a rate."""
    # Real: a plain number or one of NumPy's. A string cannot be compared with one.
    if (
        not isinstance(sample_rate, Real)
        or not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE
        or sample_rate != int(sample_rate)
    ):
        came = f"{sample_rate} Hz" if isinstance(sample_rate, Real) else repr(sample_rate)
        raise AudioError(
            f"{what} is {came}; "
            f"a whole number from {MIN_SAMPLE_RATE:,} to {MAX_SAMPLE_RATE:,} Hz is needed"
        )
    return int(sample_rate)
