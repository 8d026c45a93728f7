"""AudioMNIST, as github.com/soerenab/AudioMNIST has it: 60 speakers say digits, 48 kHz, MIT.

    root/AudioMNIST/data/<speaker 01 to 60>/<digit>_<speaker>_<repetition>.wav

Each digit 50 times, in English, with many accents. S. Becker et al.: "AudioMNIST: Exploring
Explainable Artificial Intelligence for audio analysis on a simple benchmark", Journal of the
Franklin Institute 2023.

The splits are the first of the authors' five for digits (their audiomnist/train/splits.py): 36, 12
and 12 speakers, none in two of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vqaudio.corpora.archives import GITHUB, Source, github_archive
from vqaudio.corpora.fsdd import DIGITS
from vqaudio.corpora.lengths import LISTING
from vqaudio.corpora.rows import Row, to_utterances
from vqaudio.corpora.utterance import About, Utterance

ARCHIVE = github_archive(
    "soerenab/AudioMNIST",
    "8d77a2d8754105541742115cefec1e537040a6cf",
    num_bytes=990_000_000,  # of a clone: GitHub packs anew for each who asks
    folder="AudioMNIST",
    sign="data/*/*.wav",
    num_files=30_000,
)
SOURCE = Source("audiomnist", GITHUB, dict.fromkeys(("train", "validation", "test"), ARCHIVE))
SPLITS: tuple[str, ...] = tuple(SOURCE.archives)
ABOUT = About(
    "AudioMNIST, English digits in many accents, 48 kHz",
    "MIT",
    5.3,
    60,
    SOURCE.num_bytes,
    language="en",
)

TEST_SPEAKERS = frozenset({5, 13, 18, 22, 26, 32, 33, 42, 45, 51, 52, 60})
VALIDATION_SPEAKERS = frozenset({4, 11, 12, 15, 21, 27, 31, 41, 44, 47, 50, 59})


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Bytes that `download` would fetch. Raises CorpusError for an unknown split."""
    return SOURCE.to_fetch(root, splits)


def download(root: Path, splits: Sequence[str]) -> None:
    """Fetch the archive, which has all splits, and unpack it below `root`; see `Source`."""
    SOURCE.download(root, splits)


def utterances(root: Path, split: str) -> list[Utterance]:
    """The recordings of a split with the digit's name as text, by speaker, digit and repetition.

    Raises CorpusError when the split is unknown or is not there, and when a file cannot be read.
    """
    folder = SOURCE.folder(root, split)
    found = []
    for path in folder.glob(ARCHIVE.sign):
        if match := re.fullmatch(r"([0-9])_([0-9]+)_([0-9]+)", path.stem):
            digit, speaker, repetition = map(int, match.groups())
            found.append((speaker, digit, repetition, path))
    rows = [
        Row(path.name, path, speaker=path.parent.name, text=DIGITS[digit])
        for _, digit, _, path in sorted(found)
    ]
    recordings = to_utterances(rows, folder / LISTING, remedy="unpack the archive anew")
    return [utterance for utterance in recordings if _split_of(int(utterance.speaker)) == split]


def _split_of(speaker: int) -> str:
    if speaker in TEST_SPEAKERS:
        return "test"
    return "validation" if speaker in VALIDATION_SPEAKERS else "train"
