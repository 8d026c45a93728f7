"""What every format offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vqaudio.export.header import Header
from vqaudio.export.row import Row


def allow_all(header: Header) -> None:
    """For a format that can hold whatever there is."""


def no_others(path: Path) -> list[str]:
    """For a format whose files have the name of their shard."""
    return []


class Format(NamedTuple):
    """How the rows of a shard are written to files, and read from them.

    The same rows give the same bytes, whenever and wherever they are written.
    """

    suffix: str
    """Of the file that names a shard; others may lie beside it."""
    write: Callable[[Path, Header, Sequence[Row]], None]
    """To that file, in an empty folder; there is one row or more."""
    read: Callable[[Path], Iterator[Row]]
    """The rows of that file, one after the other. Raises TokensError when they are damaged."""
    header: Callable[[Path], Header]
    """Raises TokensError when there is none."""
    check: Callable[[Header], None] = allow_all
    """Raises VqaudioError for what the format cannot hold, or when its library is missing."""
    others: Callable[[Path], list[str]] = no_others
    """Files beside that file, relative to its folder, that have other names than the shard."""
