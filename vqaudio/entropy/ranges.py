"""The range coder of the library constriction: words of 32 bits, little-endian, as a payload."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from vqaudio.errors import TokensError

SLACK = 128
"""Bits: twice the state of the coder, by which the end of a payload may differ from its content."""


def range_coder() -> Any:
    """constriction.stream. Raises TokensError where the library is not installed."""
    try:
        from constriction import stream
    except ImportError:
        raise TokensError(
            "entropy coding needs constriction: pip install 'vqaudio[entropy]'"
        ) from None
    return stream


def payload_of(encoder: Any) -> bytes:
    """What a `RangeEncoder` has written."""
    payload: bytes = encoder.get_compressed().astype("<u4").tobytes()
    return payload


@contextmanager
def decoding(payload: bytes, num_frames: int, *, fewest_bits: float) -> Iterator[Any]:
    """A `RangeDecoder` of a payload, out of which the block takes all codes of `num_frames` frames.

    These take `fewest_bits` or more: what cannot hold them is refused before the block, which may
    make room for them. Raises TokensError for that, and for bytes that no encoder made.
    """
    if len(payload) % 4 or fewest_bits > 8 * len(payload) + SLACK:
        raise TokensError(
            f"{len(payload)} bytes of payload cannot hold {num_frames} frames: get the file again"
        )
    words = np.frombuffer(payload, "<u4").astype(np.uint32)
    decoder = range_coder().queue.RangeDecoder(words)
    try:
        yield decoder
    except AssertionError as error:  # what constriction raises for bytes that no encoder made
        raise TokensError(f"its payload is damaged ({error}): get the file again") from None
    if not decoder.maybe_exhausted():
        raise TokensError("its payload holds more than its codes: get the file again")


def listed(codebook_sizes: Any) -> str:
    """For errors."""
    return " + ".join(map(str, codebook_sizes))
