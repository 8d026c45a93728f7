"""A recording to export, by name, as plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple


class Sound(NamedTuple):
    """One recording, as plain values that can be sent to another process or machine."""

    id: str
    """No two of an export share it."""
    location: str
    """Where to read the file: a path or an address."""
    path: str
    """What is written of that: relative to DATA where it lies there, so that DATA may move."""
    seconds: float
    start: float = 0.0
    speaker: str | None = None
    text: str | None = None
    language: str | None = None


class Unreadable(NamedTuple):
    """A recording that is left out."""

    id: str
    path: str
    reason: str


class Listing(NamedTuple):
    """All that there is to export, in an order that does not depend on the machine."""

    sounds: tuple[Sound, ...]
    unreadable: tuple[Unreadable, ...]
    """Files whose header cannot be read."""


def distinct(names: Iterable[str]) -> list[str]:
    """The same names, but for those that have been there before: they are numbered.

    >>> distinct(["a", "a", "a#2", "b"])
    ['a', 'a#2', 'a#2#2', 'b']
    """
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        free = name
        while seen[free]:
            seen[name] += 1
            free = f"{name}#{seen[name]}"
        seen[free] += 1
        found.append(free)
    return found


def plain(text: str) -> str:
    """Text that can be written as such: names of files and JSON may hold what is no Unicode."""
    return text.encode("utf-8", "backslashreplace").decode()
