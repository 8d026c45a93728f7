"""The formats of token files, by suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from vqaudio.entropy import Coder
from vqaudio.errors import TokensError
from vqaudio.tokens import json, npz, vqa, vqs

Header = dict[str, Any]


class Format(NamedTuple):
    """How header and codes [Q, T] become the bytes of a file, and come back."""

    write: Callable[[Header, NDArray[Any], Coder | None], bytes]
    read: Callable[[bytes, Coder | None], tuple[Header, NDArray[Any]]]
    magic: bytes
    """How its files begin; empty where that says nothing."""
    takes_coder: bool = False


FORMATS = {
    ".npz": Format(npz.write, npz.read, b"PK"),
    ".json": Format(json.write, json.read, b""),
    ".vqa": Format(vqa.write, vqa.read, vqa.MAGIC, takes_coder=True),
    ".vqs": Format(vqs.write, vqs.read, vqs.MAGIC),
}


def format_of(path: Path) -> Format:
    """By the suffix of a name. Raises TokensError for an unknown one."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise TokensError(
            f"{path} is no name for a token file: its suffix must be {' or '.join(FORMATS)}"
        ) from None


def format_in(data: bytes) -> Format:
    """By how the content begins."""
    marked = (one for one in FORMATS.values() if one.magic and data.startswith(one.magic))
    return next(marked, FORMATS[".json"])


def read_bytes(path: Path) -> bytes:
    """The content of a token file. Raises TokensError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise TokensError(f"cannot read tokens from {path}: {error.strerror}") from None
