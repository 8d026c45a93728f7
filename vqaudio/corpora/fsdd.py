"""Free Spoken Digit Dataset, as github.com/Jakobovski/free-spoken-digit-dataset has it: 8 kHz.

    root/fsdd/recordings/<digit>_<speaker>_<number>.wav

Six speakers of several accents say each digit 50 times in English. CC BY-SA 4.0. Version of 2024,
by its commit: the data set is meant to grow.

train and test are the official splits: numbers 0 to 4 are the test. Both have all six speakers, so
a recipe that trains on one cannot validate on the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vqaudio.corpora.archives import GITHUB, Source, github_archive
from vqaudio.corpora.lengths import LISTING
from vqaudio.corpora.rows import Row, to_utterances
from vqaudio.corpora.utterance import About, Utterance

ARCHIVE = github_archive(
    "Jakobovski/free-spoken-digit-dataset",
    "26eb9aaf76e81b692f806f9140c2d2777410d7a1",
    num_bytes=21_000_000,  # of the files: GitHub packs anew for each who asks
    folder="fsdd",
    sign="recordings/*.wav",
    num_files=3000,
)
SOURCE = Source("fsdd", GITHUB, {"train": ARCHIVE, "test": ARCHIVE})
SPLITS: tuple[str, ...] = tuple(SOURCE.archives)
ABOUT = About(
    "Free Spoken Digit Dataset, English digits in several accents, 8 kHz",
    *("CC BY-SA 4.0", 0.4, 6, SOURCE.num_bytes),
    language="en",
)

NUM_TEST = 5
"""Of each digit and speaker, the first so many are the test."""
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Bytes that `download` would fetch. Raises CorpusError for an unknown split."""
    return SOURCE.to_fetch(root, splits)


def download(root: Path, splits: Sequence[str]) -> None:
    """Fetch the archive, which has both splits, and unpack it below `root`; see `Source`."""
    SOURCE.download(root, splits)


def utterances(root: Path, split: str) -> list[Utterance]:
    """The recordings of a split with the digit's name as text, by speaker, digit and number.

    Raises CorpusError when the split is unknown or is not there, and when a file cannot be read.
    """
    folder = SOURCE.folder(root, split)
    found = []
    for path in folder.glob(ARCHIVE.sign):
        if match := re.fullmatch(r"([0-9])_(\w+)_([0-9]+)", path.stem):
            found.append((match[2], int(match[1]), int(match[3]), path))
    rows = [
        Row(path.name, path, speaker=speaker, text=DIGITS[digit])
        for speaker, digit, _, path in sorted(found)
    ]
    recordings = to_utterances(rows, folder / LISTING, remedy="unpack the archive anew")
    return [
        utterance
        for utterance, (_, _, number, _) in zip(recordings, sorted(found), strict=True)
        if (number < NUM_TEST) == (split == "test")
    ]
