"""Reading: any sound -> checked mono float32 at one sample rate, block by block or whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio.audio.decoding import AudioInfo, Decoder, Source, open_audio
from vqaudio.audio.resampling import Resampler, check_sample_rate
from vqaudio.errors import AudioError

# Float files may exceed full scale, a mix easily by some dB. 32 is 30 dB above it: beyond that
# somebody has stored integers as floats.
MAX_AMPLITUDE = 32.0


class Audio(NamedTuple):
    waveform: NDArray[np.float32]  # [1, S]
    sample_rate: int  # Hz

    @property
    def seconds(self) -> float:
        return self.waveform.size / self.sample_rate


def info(source: Source) -> AudioInfo:
    """Sample rate, channels and samples of a file, from its header.

    Raises:
        AudioError: missing, empty, or not audio.
    """
    with open_audio(source) as decoder:
        return decoder.info


def read(source: Source, *, sample_rate: int | None = None) -> Audio:
    """A whole file as a waveform [1, S], mono, at `sample_rate` Hz (None keeps the file's own).

    Raises:
        AudioError: see `read_blocks`.
    """
    with read_blocks(source, sample_rate=sample_rate) as stream:
        return Audio(np.concatenate(list(stream))[None], stream.sample_rate)


def read_blocks(
    source: Source, *, sample_rate: int | None = None, block_seconds: float | None = 10.0
) -> AudioStream:
    """A file as blocks [n], mono float32, at `sample_rate` Hz (None keeps the file's own).

    All blocks last `block_seconds`, the last one is shorter or equal; None gives blocks as they
    come, none of them empty. Memory does not grow with the file, and the samples do not depend on
    the block length. A binary file is read from its beginning; of a pipe (standard input) 16- and
    32-bit wav is read as it comes, all else copied to a temporary file first.

    Raises:
        AudioError: missing, empty or no audio, at once; damaged, not finite or far out of range,
            while iterating, with the position in seconds.
    """
    return AudioStream(source, sample_rate=sample_rate, block_seconds=block_seconds)


class AudioStream:
    """Iterates once over the blocks of one file; made by `read_blocks`.

    The file is closed at the end, on an error, by `close` or by leaving a `with` block.
    """

    source: AudioInfo  # what the header says; a damaged file may hold fewer samples
    sample_rate: int  # Hz, of the blocks
    source_num_samples: int  # decoded so far, per channel at the source rate
    num_samples: int  # emitted so far; at the end ceil(source_num_samples * rate / source rate)

    def __init__(
        self, source: Source, *, sample_rate: int | None, block_seconds: float | None
    ) -> None:
        with ExitStack() as stack:
            decoder = stack.enter_context(open_audio(source))
            self.source = decoder.info
            if self.source.num_samples == 0:
                raise no_samples(decoder.name)
            source_rate = check_sample_rate(
                self.source.sample_rate, f"the sample rate of {decoder.name}"
            )
            self.sample_rate = (
                source_rate
                if sample_rate is None
                else check_sample_rate(sample_rate, "the sample rate asked for")
            )
            self.source_num_samples = self.num_samples = 0
            self._blocks = self._decode(decoder)
            if block_seconds is not None:
                if not block_seconds > 0:
                    raise AudioError(f"block_seconds is {block_seconds}; it must be above 0")
                self._blocks = _cut(self._blocks, max(1, round(block_seconds * self.sample_rate)))
            self._files = stack.pop_all()

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return self

    def __next__(self) -> NDArray[np.float32]:
        try:
            block = next(self._blocks)
        except BaseException:  # StopIteration and Ctrl-C included: the file is closed
            self.close()
            raise
        self.num_samples += len(block)
        return block

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; no more blocks come. May be called twice."""
        self._blocks = iter(())
        self._files.close()

    def _decode(self, decoder: Decoder) -> Iterator[NDArray[np.float32]]:
        resampler = Resampler(self.source.sample_rate, self.sample_rate)
        for block in decoder.blocks(0, None):
            check_samples(block, decoder.name, self.source_num_samples, self.source.sample_rate)
            self.source_num_samples += len(block)
            if len(resampled := resampler.push(downmix(block))):
                yield resampled
        if self.source_num_samples == 0:
            raise no_samples(decoder.name)
        if len(resampled := resampler.finish()):
            yield resampled


def _cut(pieces: Iterable[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """Pieces [any length] -> blocks of `size` samples, then the rest."""
    parts: list[NDArray[np.float32]] = []
    missing = size
    for piece in pieces:
        while len(piece) >= missing:
            yield np.concatenate([*parts, piece[:missing]])
            piece, parts, missing = piece[missing:], [], size
        if len(piece):
            parts.append(piece)
            missing -= len(piece)
    if parts:
        yield np.concatenate(parts)


def downmix(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, C] -> [n], the mean of the channels."""
    # Channel after channel: the order of additions, so the last bit, is the same for every n.
    mono = block[:, 0].copy()
    for channel in range(1, block.shape[1]):
        mono += block[:, channel]
    mono /= block.shape[1]
    return mono


def check_samples(block: NDArray[np.float32], name: str, position: int, sample_rate: int) -> None:
    """Raises AudioError if `block` [n, C], which starts at sample `position`, is not sound."""
    peak = max(float(block.max()), -float(block.min()))
    if peak <= MAX_AMPLITUDE:  # false for NaN, which max and min pass on
        return
    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
        seconds = (position + int(np.argmin(finite))) / sample_rate
        raise AudioError(
            f"{name} holds a sample that is NaN or infinite at {seconds:.4f} s; write it again"
        )
    raise AudioError(
        f"{name}: samples reach {peak:.0f}: looks like integers stored as floats; scale to [-1, 1]"
    )


def no_samples(name: str) -> AudioError:
    return AudioError(f"{name} holds no samples; check where it came from")
