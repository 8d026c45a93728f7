"""Packed codes: ceil(log2 K) bits each, one frame after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import TokensError

BITS_AT_ONCE = 2**20
"""Each takes a byte while it is unpacked."""


class Packed:
    """Bits from high to low, levels from coarse to fine, zeros up to the last whole byte.

    >>> Packed().encode(np.array([[1, 2], [5, 0]], np.uint16), (4, 8)).hex()  # 01 101, 10 000, 0..
    '6c00'
    """

    name = "packed"
    fingerprint = ""
    model = ""

    def encode(self, codes: NDArray[np.uint16], codebook_sizes: Sequence[int]) -> bytes:
        levels, shifts = _places(codebook_sizes)
        parts = []
        for block in _blocks(codes.shape[1], len(levels)):
            bits = codes[levels, block] >> shifts[:, None] & 1  # [bits of a frame, n]
            parts.append(np.packbits(bits.T.astype(np.uint8)).tobytes())
        return b"".join(parts)

    def decode(
        self, payload: bytes, codebook_sizes: Sequence[int], num_frames: int
    ) -> NDArray[np.uint16]:
        expected = -(-num_frames * sum(map(_width, codebook_sizes)) // 8)
        if len(payload) != expected:
            raise TokensError(
                f"{num_frames} frames of packed codes take {expected} bytes, but there are "
                f"{len(payload)}: get the file again"
            )
        levels, shifts = _places(codebook_sizes)
        codes = np.zeros((len(codebook_sizes), num_frames), np.uint16)
        packed = np.frombuffer(payload, np.uint8)
        for block in _blocks(num_frames, len(levels)):
            first, count = block.start * len(levels) // 8, (block.stop - block.start) * len(levels)
            bits = np.unpackbits(packed[first : first + -(-count // 8)], count=count)
            for place, column in enumerate(bits.reshape(-1, len(levels)).T.astype(np.uint16)):
                codes[levels[place], block] |= column << shifts[place]
        return codes


def _width(codebook_size: int) -> int:
    return (codebook_size - 1).bit_length()


def _places(codebook_sizes: Sequence[int]) -> tuple[NDArray[np.intp], NDArray[np.uint16]]:
    """For every bit of a frame its level, and its place in the code."""
    widths = [_width(size) for size in codebook_sizes]
    levels = np.repeat(np.arange(len(widths)), widths)
    shifts = [shift for width in widths for shift in reversed(range(width))]
    return levels, np.array(shifts, np.uint16)


def _blocks(num_frames: int, bits_per_frame: int) -> Iterator[slice]:
    """Of 8 n frames, whose bits fill whole bytes; none where there are no bits."""
    step = 8 * max(BITS_AT_ONCE // (8 * max(bits_per_frame, 1)), 1)
    for start in range(0, num_frames if bits_per_frame else 0, step):
        yield slice(start, min(start + step, num_frames))
