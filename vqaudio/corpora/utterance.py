"""What every corpus offers: a few facts, two functions, and the utterances that they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from rich.filesize import decimal


@dataclass(frozen=True)
class Utterance:
    """One recording of one speaker, or a part of a longer file.

    `seconds` is its length; `text` is what is said and `language` its tag ("en", "pt-BR"), if
    known; `start`, in seconds, is where it begins in the file.
    """

    path: Path
    speaker: str
    seconds: float
    text: str | None = None
    start: float = 0.0
    language: str | None = None


class About(NamedTuple):
    """What there is to know of a corpus before it is fetched; None where it depends on the user."""

    title: str
    licence: str | None = None
    hours: float | None = None
    speakers: int | None = None
    """1: all splits share the one speaker, so that validation tells nothing of other voices."""
    num_bytes: int | None = None
    """To fetch for all splits."""
    readers: str | None = None
    """Corpora with the same name here give the same people the same names."""
    language: str | None = None
    """Of all its recordings, where it is one."""

    @property
    def summary(self) -> str:
        """One line."""
        facts = [
            self.title,
            self.hours and f"{self.hours:g} h",
            self.speakers and f"{self.speakers} speaker{'s' * (self.speakers > 1)}",
            self.num_bytes and f"{decimal(self.num_bytes)} to fetch",
            self.licence,
        ]
        return "; ".join(fact for fact in facts if fact)


class Corpus(Protocol):
    """A module that fetches recordings and lists them.

    No two splits share a speaker, unless one is named as a part of the other, `ABOUT` says that
    there is but one speaker, or the official splits do and the module says so.
    """

    SPLITS: tuple[str, ...]
    ABOUT: About

    def to_fetch(self, root: Path, splits: Sequence[str]) -> int:
        """Bytes that `download` would fetch to bring these splits below `root`, as far as known.

        Raises CorpusError for an unknown split.
        """
        ...

    def download(self, root: Path, splits: Sequence[str]) -> None:
        """Bring these splits below `root`; return at once if they are there.

        No split means the whole corpus, where that is not too much to be fetched unasked.

        Raises CorpusError for an unknown split, and when the recordings cannot be had.
        """

    def utterances(self, root: Path, split: str) -> list[Utterance]:
        """The utterances of one split, in an order that does not depend on the machine.

        Raises CorpusError for an unknown split, and when `root` does not hold it.
        """
        ...
