"""Tables in the box: found by what they are for, never by what is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from vqaudio.entropy.frequencies import Frequencies

FOLDER = Path(__file__).parents[1] / "models"


def bundled_frequencies(*, model: str = "", fingerprint: str = "") -> Frequencies | None:
    """The table for a tokenizer's codes, or the table of a fingerprint; None without one."""
    for table in _tables():
        if model == table.model or fingerprint == table.fingerprint:
            return table
    return None


def _tables() -> Iterator[Frequencies]:
    for path in sorted(FOLDER.glob("*.frequencies.npz")):
        yield _load(path)


@cache
def _load(path: Path) -> Frequencies:
    return Frequencies.load(path)
