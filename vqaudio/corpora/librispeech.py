"""LibriSpeech, as openslr.org/12 unpacks it: 1000 hours of audiobooks, 16 kHz FLAC, CC BY 4.0.

    root/LibriSpeech/<split>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac
    root/LibriSpeech/<split>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt

V. Panayotov, G. Chen, D. Povey, S. Khudanpur: "Librispeech: an ASR corpus based on public domain
audio books", ICASSP 2015. The dev and test splits are for measuring, never for training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import soundfile

from vqaudio.corpora.utterance import Utterance
from vqaudio.errors import CorpusError

SPLITS: tuple[str, ...] = (
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
)


def download(root: Path, splits: Sequence[str]) -> None:
    """Check that `root` holds these splits: fetching them is left to the user for now.

    Raises CorpusError when one is unknown or is not there; it says where to get it.
    """
    for split in splits:
        folder = _folder(root, split)
        if not folder.is_dir():
            raise CorpusError(
                f"{folder} does not exist: get {split}.tar.gz from https://www.openslr.org/12 and "
                f"unpack it in {root}."
            )


def utterances(root: Path, split: str) -> list[Utterance]:
    """The utterances of a split with their texts, sorted by speaker, chapter and number as text.

    Raises CorpusError when the split is unknown or is not there, when a chapter has no
    transcript, or when a file cannot be read.
    """
    download(root, [split])
    folder = _folder(root, split)
    found = []
    for chapter in sorted(path for path in folder.glob("*/*") if path.is_dir()):
        texts = _transcript(chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt")
        for path in sorted(chapter.glob("*.flac")):
            text = texts.get(path.stem) or None  # an id alone on its line: no text is known
            found.append(Utterance(path, chapter.parent.name, _seconds(path), text))
    if not found:
        raise CorpusError(f"{folder} has no <speaker>/<chapter>/*.flac: unpack {split} anew.")
    return found


def _folder(root: Path, split: str) -> Path:
    if split not in SPLITS:
        raise CorpusError(f"librispeech has no split {split!r}: choose from {', '.join(SPLITS)}.")
    return root / "LibriSpeech" / split


def _transcript(path: Path) -> dict[str, str]:
    """Utterance id -> text. A line is `84-121123-0000 GO DO YOU HEAR`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise CorpusError(f"{path} is missing: unpack the archive of its split anew.") from None
    pairs = (line.partition(" ") for line in lines)
    return {name: text.strip() for name, _, text in pairs}


def _seconds(path: Path) -> float:
    try:
        return float(soundfile.info(path).duration)
    except soundfile.SoundFileError:
        raise CorpusError(f"{path} cannot be read: unpack the archive of its split anew.") from None
