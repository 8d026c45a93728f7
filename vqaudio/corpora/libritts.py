"""LibriTTS, as openslr.org/60 unpacks it: 585 hours of LibriSpeech's readers, 24 kHz, CC BY 4.0.

    root/LibriTTS/<split>/<speaker>/<chapter>/<speaker>_<chapter>_<paragraph>_<sentence>.wav
    root/LibriTTS/<split>/<speaker>/<chapter>/<the same>.normalized.txt

H. Zen et al.: "LibriTTS: A Corpus Derived from LibriSpeech for Text-to-Speech", Interspeech 2019.
The splits have the names of LibriSpeech's and come of its readers: never train on LibriSpeech's
train splits and measure on LibriTTS's, or the other way round, without comparing the speakers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vqaudio.corpora.archives import OPENSLR, Archive, Source
from vqaudio.corpora.lengths import LISTING
from vqaudio.corpora.rows import Row, to_utterances
from vqaudio.corpora.utterance import About, Utterance

# Bytes, and the MD5 sum that openslr.org publishes.
_PUBLISHED = {
    "train-clean-100": (7_723_686_890, "4a8c202b78fe1bc0c47916a98f3a2ea8"),
    "train-clean-360": (27_504_073_644, "a84ef10ddade5fd25df69596a2767b2d"),
    "train-other-500": (44_565_031_479, "7b181dd5ace343a5f38427999684aa6f"),
    "dev-clean": (1_291_469_655, "0c3076c1e5245bb3f0af7d82087ee207"),
    "dev-other": (924_804_676, "815555d8d75995782ac3ccd7f047213d"),
    "test-clean": (1_230_670_113, "7bed3bdb047c4c197f1ad3bc412db59f"),
    "test-other": (964_502_297, "ae3258249472a13b5abef2a816f733e4"),
}
SOURCE = Source(
    "libritts",
    f"{OPENSLR}/60",
    {
        split: Archive(
            file=f"{split}.tar.gz",
            num_bytes=num_bytes,
            checksum=f"md5:{md5}",
            folder=f"LibriTTS/{split}",
            sign="*/*/*.wav",
        )
        for split, (num_bytes, md5) in _PUBLISHED.items()
    },
    choose=True,
)
SPLITS: tuple[str, ...] = tuple(SOURCE.archives)
ABOUT = About(
    "LibriTTS, English audiobooks, 24 kHz",
    "CC BY 4.0",
    585,
    2456,
    SOURCE.num_bytes,
    readers="LibriVox",
    language="en",
)


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Bytes that `download` would fetch. Raises CorpusError for an unknown split."""
    return SOURCE.to_fetch(root, splits)


def download(root: Path, splits: Sequence[str]) -> None:
    """Fetch the official archives of these splits and unpack them below `root`; see `Source`."""
    SOURCE.download(root, splits)


def utterances(root: Path, split: str) -> list[Utterance]:
    """The utterances of a split with their normalised texts, sorted by path.

    Raises CorpusError when the split is unknown or is not there, or a file cannot be read.
    """
    return list_sentences(SOURCE, root, split)


def list_sentences(source: Source, root: Path, split: str) -> list[Utterance]:
    """As `utterances`, for LibriTTS and what is laid out like it."""
    folder = source.folder(root, split)
    rows = [
        Row(split, path, speaker=path.parts[-3], text=_text(path))
        for path in sorted(folder.glob("*/*/*.wav"), key=str)
    ]
    return to_utterances(rows, folder / LISTING, remedy="unpack the archive of its split anew")


def _text(path: Path) -> str | None:
    """What is said in a recording; a few have no text beside them."""
    try:
        return (
            path.with_suffix(".normalized.txt")
            .read_text(encoding="utf-8", errors="replace")
            .strip()
            or None
        )
    except FileNotFoundError:
        return None
