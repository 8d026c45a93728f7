"""Tokens as .npz: uint16 codes [Q, T] and a JSON header, for whoever has NumPy."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from vqaudio import npz
from vqaudio.entropy import Coder
from vqaudio.errors import TokensError
from vqaudio.tokens.limits import MAX_CODES


def write(header: dict[str, Any], codes: NDArray[Any], _: Coder | None = None) -> bytes:
    return npz.pack(header, codes=codes)


def read(data: bytes, _: Coder | None = None) -> tuple[dict[str, Any], NDArray[Any]]:
    """Header and codes; raises what `npz.unpack` raises, TokensError for too much."""
    try:
        contents = npz.unpack(data, "codes", max_bytes=2 * MAX_CODES + 2**20)
    except OverflowError as error:
        raise TokensError(f"{error}, too much for tokens of one sound") from None
    return contents.header, contents.arrays["codes"]
