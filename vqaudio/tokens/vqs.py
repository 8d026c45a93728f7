"""Tokens as .vqs: a stream, to be written and read while the sound comes.

All numbers are little-endian:

    4 bytes   93 56 51 53 ("VQS")           4 bytes   sample rate, Hz
    1 byte    format version                4 bytes   hop length
    2 bytes   levels                        4 bytes   sample rate of the source; 0 without one
    8 bytes   fingerprint of the model
    2 bytes a level: codebook size less one
    4 bytes   CRC-32 of all above

then part after part, each as soon as there is one:

    4 bytes   frames, 1 or more
    their codes, packed as in .vqa
    4 bytes   CRC-32 of the part

and, where the sound has ended:

    4 bytes   0                             8 bytes   samples of the source
    8 bytes   samples                       2 bytes   its channels
    4 bytes   CRC-32 of the end

A stream without its end was cut off: what came before is good.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import IO, Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from vqaudio.entropy import Coder, Packed
from vqaudio.errors import TokensError
from vqaudio.tokens.limits import FORMAT_VERSION, MAX_CODES
from vqaudio.tokens.vqa import model_bytes

MAGIC = b"\x93VQS"
MAX_FRAMES = 1 << 16
"""Of a part; who has more at once writes several."""
_FIXED = struct.Struct("<4sBH8sIII")
_COUNT = struct.Struct("<I")
_END = struct.Struct("<IQQH")
_CHECKSUM = struct.Struct("<I")


class End(NamedTuple):
    """What is known of a sound when it has ended."""

    num_samples: int
    source_num_samples: int
    """Per channel; 0 where the header names no source."""
    num_channels: int


class StreamWriter:
    """Writes to a binary file, which need not be seekable, and empties its buffer after each part.

    `header` is that of the other formats; what it says of lengths is not looked at.
    """

    def __init__(self, file: IO[bytes], header: dict[str, Any]) -> None:
        """Raises TokensError for what the header has no room for."""
        self._file = file
        self._sizes: tuple[int, ...] = tuple(header["codebook_sizes"])
        fixed = _FIXED.pack(
            MAGIC,
            FORMAT_VERSION,
            len(self._sizes),
            model_bytes(header["model"], ".vqs"),
            header["sample_rate"],
            header["hop_length"],
            header["source"][0] if header["source"] else 0,
        )
        self._write(fixed + (np.array(self._sizes) - 1).astype("<u2").tobytes())

    def write(self, codes: NDArray[np.uint16]) -> None:
        """[Q, n], any n: one part, more of them where n is large, none where it is 0."""
        for start in range(0, codes.shape[1], MAX_FRAMES):
            part = codes[:, start : start + MAX_FRAMES]
            self._write(_COUNT.pack(part.shape[1]) + Packed().encode(part, self._sizes))

    def end(self, end: End) -> None:
        """The sound is over."""
        self._write(_END.pack(0, *end))

    def _write(self, data: bytes) -> None:
        self._file.write(data + _CHECKSUM.pack(crc32(data)))
        self._file.flush()


class StreamReader:
    """Iterates over the parts [Q, n] of a stream as they come; after the last one `end` is known.

    Raises TokensError for what is no such stream; while iterating, where it is damaged or cut off.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.end: End | None = None
        fixed = self._read(_FIXED.size)
        magic, version, num_codebooks, model, rate, hop, source_rate = _FIXED.unpack(fixed)
        if magic != MAGIC or version != FORMAT_VERSION:
            raise TokensError(f"it is no stream of tokens of format {FORMAT_VERSION}")
        sizes = self._read(2 * num_codebooks)
        self._check(fixed + sizes)
        if not num_codebooks or not rate or not hop:
            raise TokensError("it claims to hold no codes: tokenize the sound again")
        self.codebook_sizes = tuple((np.frombuffer(sizes, "<u2").astype(int) + 1).tolist())
        self.model: str = model.hex()
        self.sample_rate: int = rate
        self.hop_length: int = hop
        self.source_rate: int | None = source_rate or None
        """Hz, of the sound before it was brought to `sample_rate`."""

    @property
    def num_codebooks(self) -> int:
        return len(self.codebook_sizes)

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        frame_bits = sum((size - 1).bit_length() for size in self.codebook_sizes)
        while (count := self._read(_COUNT.size)) != _COUNT.pack(0):
            (frames,) = _COUNT.unpack(count)
            if frames > MAX_FRAMES:
                raise TokensError(f"it claims {frames} frames in one part: get the stream again")
            payload = self._read(-(-frames * frame_bits // 8))
            self._check(count + payload)
            yield Packed().decode(payload, self.codebook_sizes, frames)
        end = count + self._read(_END.size - _COUNT.size)
        self._check(end)
        self.end = End(*_END.unpack(end)[1:])

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._file.read(size - len(data))
            if not more:
                raise TokensError("it is cut off: the sound before is all there is")
            data += more
        return data

    def _check(self, data: bytes) -> None:
        if self._read(_CHECKSUM.size) != _CHECKSUM.pack(crc32(data)):
            raise TokensError("it is damaged: get the stream again")


def write(header: dict[str, Any], codes: NDArray[np.uint16], coder: Coder | None = None) -> bytes:
    """A whole stream; raises TokensError for what the header has no room for."""
    buffer = io.BytesIO()
    writer = StreamWriter(buffer, header)
    writer.write(codes)
    source = header["source"] or (0, 0, 0)
    writer.end(End(header["num_samples"], *source[1:]))
    return buffer.getvalue()


def read(data: bytes, coder: Coder | None = None) -> tuple[dict[str, Any], NDArray[np.uint16]]:
    """Header and codes of a whole stream; raises TokensError for one that is damaged or cut off."""
    buffer = io.BytesIO(data)
    reader = StreamReader(buffer)
    parts, total = [], 0
    for part in reader:
        parts.append(part)
        total += part.size
        if total > MAX_CODES:
            raise TokensError(f"it holds more than {MAX_CODES} codes: cut the sound")
    if not parts or reader.end is None or buffer.read(1):
        raise TokensError("it holds no codes, or is followed by more: tokenize the sound again")
    header = {
        "format_version": FORMAT_VERSION,
        "model": reader.model,
        "sample_rate": reader.sample_rate,
        "hop_length": reader.hop_length,
        "num_samples": reader.end.num_samples,
        "codebook_sizes": list(reader.codebook_sizes),
        "source": [reader.source_rate, *reader.end[1:]] if reader.source_rate else None,
    }
    return header, np.concatenate(parts, axis=1)
