"""LJ Speech 1.1: 24 hours of one woman reading English non-fiction, 22.05 kHz, public domain.

    root/LJSpeech-1.1/wavs/LJ<chapter>-<number>.wav
    root/LJSpeech-1.1/metadata.csv                     <name>|<text>|<normalised text>

K. Ito, L. Johnson: "The LJ Speech Dataset", 2017, keithito.com/LJ-Speech-Dataset. It has no
official split. Here whole chapters are held out, so that no sentence before or after a held-out
one is trained on; the speaker, the microphone and the room are the same in both splits. Validation
on it alone says nothing of other voices.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vqaudio.corpora.archives import Archive, Source
from vqaudio.corpora.lengths import LISTING
from vqaudio.corpora.rows import Row, read_lines, to_utterances
from vqaudio.corpora.utterance import About, Utterance

ARCHIVE = Archive(
    file="LJSpeech-1.1.tar.bz2",
    num_bytes=2_748_572_632,
    checksum="sha256:be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
    folder="LJSpeech-1.1",
    sign="wavs/*.wav",
)
SOURCE = Source(
    "ljspeech",
    "https://data.keithito.com/data/speech",
    {"train": ARCHIVE, "validation": ARCHIVE},
)
SPLITS: tuple[str, ...] = tuple(SOURCE.archives)
ABOUT = About(
    "LJ Speech, one English reader, 22.05 kHz",
    "public domain",
    24,
    1,
    SOURCE.num_bytes,
    language="en",
)

VALIDATION_CHAPTERS = frozenset({"LJ010", "LJ030", "LJ050"})
"""Of 50, from different books."""


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Bytes that `download` would fetch. Raises CorpusError for an unknown split."""
    return SOURCE.to_fetch(root, splits)


def download(root: Path, splits: Sequence[str]) -> None:
    """Fetch the archive, which has both splits, and unpack it below `root`; see `Source`."""
    SOURCE.download(root, splits)


def utterances(root: Path, split: str) -> list[Utterance]:
    """The utterances of a split with their normalised texts, in the order of metadata.csv.

    Raises CorpusError when the split is unknown or is not there, or a file cannot be read.
    """
    folder = SOURCE.folder(root, split)
    rows = []
    for number, line in read_lines(folder / "metadata.csv"):
        name, *texts = line.split("|")  # quotation marks in texts mean nothing more
        where, path = f"metadata.csv, line {number}", folder / "wavs" / f"{name}.wav"
        rows.append(Row(where, path, speaker="LJ", text=texts[-1] if texts else None))
    found = to_utterances(rows, folder / LISTING, remedy="unpack the archive anew")
    return [
        utterance
        for utterance in found
        if (utterance.path.stem.partition("-")[0] in VALIDATION_CHAPTERS) == (split == "validation")
    ]
