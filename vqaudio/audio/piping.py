"""wav through pipes: read as it comes, written before its length is known.

A live source, a microphone or a program, sends a header and then samples without end. Other
formats than 16- and 32-bit wav are read from a temporary file, by `decoding`.
"""

from __future__ import annotations

import struct
import wave
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio.audio.writing import to_int16
from vqaudio.errors import AudioError

MAX_READ = 1 << 16
"""Bytes; as many as a pipe holds."""

SAMPLE_TYPES: dict[int, np.dtype[Any]] = {2: np.dtype("<i2"), 4: np.dtype("<i4")}
"""By the bytes of a sample."""

MAX_HEADER = 1 << 20
"""Bytes before the samples; a wav with more of them goes by a temporary file, too."""

ENDLESS = 1 << 62
"""Bytes of a wav whose header does not know."""

UNKNOWN_SIZE = 0xFFFF_FFFF
"""In place of a number of bytes that is not known yet, as FFmpeg writes it."""

STREAMED_SIZE = 0x7FFF_0000
"""Sizes from here on stand in headers that were written before the size was known (a recording
that was piped); libsndfile then reads to the end, and so do we."""


class Replay:
    """A pipe that can be read from its beginning once more."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.name = str(getattr(pipe, "name", "the audio stream"))
        self._pipe = pipe
        self._kept = b""
        self._recording = True

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        if self._recording:
            data = self._pipe.read(size)
            self._kept += data
            if len(self._kept) > MAX_HEADER:
                raise EOFError
            return data
        data, self._kept = self._kept[:size] if size >= 0 else self._kept, self._kept[size:]
        return data or self._pipe.read(size)

    @property
    def riff_size(self) -> int:
        """What the first header of a wav says, in bytes."""
        return int.from_bytes(self._kept[4:8], "little")

    def read_some(self, size: int) -> bytes:
        """What is there, at most `size` bytes; waits only where nothing is."""
        self._recording = False
        read: Callable[[int], bytes] = getattr(self._pipe, "read1", self._pipe.read)
        return read(size)

    def rewind(self) -> None:
        """Back to the beginning, for the last time."""
        self._recording = False


class PipedWav(NamedTuple):
    """A wav whose samples are next in `pipe`."""

    pipe: Replay
    sample_rate: int
    num_channels: int
    num_samples: int | None
    """Per channel; None where the header does not know."""
    sample_type: np.dtype[Any]

    def blocks(self, start: int, stop: int | None) -> Iterator[NDArray[np.float32]]:
        """Blocks [n, C] as they come, of the samples from `start` on, up to `stop`.

        Raises AudioError where the pipe ends before its header says.
        """
        position = 0
        for block in self._all_blocks():
            wanted = block[max(start - position, 0) :]
            position += len(block)
            if stop is not None and position >= stop:
                yield wanted[: len(wanted) - (position - stop)]
                return
            if len(wanted):
                yield wanted

    def _all_blocks(self) -> Iterator[NDArray[np.float32]]:
        frame = self.num_channels * self.sample_type.itemsize
        left = ENDLESS if self.num_samples is None else self.num_samples * frame
        scale = np.float32(2.0 ** (1 - 8 * self.sample_type.itemsize))
        rest = b""
        while left and (data := self.pipe.read_some(min(MAX_READ, left))):
            left -= len(data)
            data = rest + data
            whole = len(data) - len(data) % frame
            rest = data[whole:]
            if whole:
                samples = np.frombuffer(data[:whole], self.sample_type).astype(np.float32)
                yield (samples * scale).reshape(-1, self.num_channels)
        if left and self.num_samples is not None:
            raise AudioError(
                f"{self.pipe.name} is truncated: {left} bytes of the sound that its header "
                "promises are missing; send it again"
            )


def open_piped_wav(pipe: Replay) -> PipedWav | None:
    """The wav in a pipe; None, and the pipe rewound, where it is something else."""
    try:
        # Reads no further than where the samples begin. Not closed: that would close the pipe.
        header = wave.open(pipe, "rb")  # type: ignore[call-overload]  # noqa: SIM115
        sample_type = SAMPLE_TYPES[header.getsampwidth()]
    except (wave.Error, EOFError, KeyError, RuntimeError):
        pipe.rewind()
        return None
    num_samples, num_channels = header.getnframes(), header.getnchannels()
    size = num_samples * num_channels * sample_type.itemsize
    # Some programs write 0 for what they do not know, then in both places.
    known = size < STREAMED_SIZE and (size > 0 or 0 < pipe.riff_size < STREAMED_SIZE)
    return PipedWav(
        pipe, header.getframerate(), num_channels, num_samples if known else None, sample_type
    )


class PipedWavWriter:
    """Writes a mono 16-bit wav to a file that need not be seekable; its header knows no length."""

    def __init__(self, file: IO[bytes], sample_rate: int) -> None:
        """`sample_rate` in Hz."""
        self._file = file
        self.num_samples = 0
        # PCM, one channel, samples of 2 bytes.
        fmt = struct.pack("<HHIIHH", 1, 1, sample_rate, 2 * sample_rate, 2, 16)
        riff = struct.pack("<4sI4s", b"RIFF", UNKNOWN_SIZE, b"WAVE")
        file.write(riff + struct.pack("<4sI", b"fmt ", len(fmt)) + fmt)
        file.write(struct.pack("<4sI", b"data", UNKNOWN_SIZE))
        file.flush()

    def write(self, block: NDArray[np.float32]) -> None:
        """[n], at once."""
        self.num_samples += len(block)
        self._file.write(to_int16(block).tobytes())
        self._file.flush()
