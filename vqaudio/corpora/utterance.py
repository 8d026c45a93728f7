"""What every corpus offers: two functions, and the utterances that they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Utterance:
    """One recording of one speaker. `seconds` is its length; `text` is what is said, if known."""

    path: Path
    speaker: str
    seconds: float
    text: str | None = None


class Corpus(Protocol):
    """A module that fetches recordings and lists them.

    No two splits share a speaker, unless one is named as a part of the other.
    """

    SPLITS: tuple[str, ...]

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
