"""LibriSpeech, as openslr.org/12 unpacks it: 1000 hours of audiobooks, 16 kHz FLAC, CC BY 4.0.

    root/LibriSpeech/<split>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac
    root/LibriSpeech/<split>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt

V. Panayotov, G. Chen, D. Povey, S. Khudanpur: "Librispeech: an ASR corpus based on public domain
audio books", ICASSP 2015. The dev and test splits are for measuring, never for training.

train-clean-5 and dev-clean-2 are Mini LibriSpeech (openslr.org/31), 5 hours of train-clean-100 and
2 of dev-clean: use the mini splits or the full ones.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import soundfile
from rich.filesize import decimal

from vqaudio.corpora.download import fetch, only_one, unpack
from vqaudio.corpora.utterance import Utterance
from vqaudio.errors import CorpusError


class Archive(NamedTuple):
    """<split>.tar.gz at openslr.org/resources/<resource>. `md5` is from the md5sum.txt there."""

    resource: int
    num_bytes: int
    md5: str


ARCHIVES = {
    "train-clean-100": Archive(12, 6_387_309_499, "2a93770f6d5c6c964bc36631d331a522"),
    "train-clean-360": Archive(12, 23_049_477_885, "c0e676e450a7ff2f54aeade5171606fa"),
    "train-other-500": Archive(12, 30_593_501_606, "d1a0fd59409feb2c614ce4d30c387708"),
    "dev-clean": Archive(12, 337_926_286, "42e2234ba48799c1f50f24a7926300a1"),
    "dev-other": Archive(12, 314_305_928, "c8d0bcc9cca99d4f8b62fcc847357931"),
    "test-clean": Archive(12, 346_663_984, "32fa31d27d2e1cad72775fee3f4849a9"),
    "test-other": Archive(12, 328_757_843, "fb5a50374b501bb3bac4815ee91d3135"),
    "train-clean-5": Archive(31, 332_954_390, "5df7d4e78065366204ca6845bb08f490"),
    "dev-clean-2": Archive(31, 126_046_265, "6d7ab67ac6a1d2c993d050e16d61080d"),
}
SPLITS: tuple[str, ...] = tuple(ARCHIVES)

ADDRESS = "https://www.openslr.org/resources"
MIRROR = "VQAUDIO_LIBRISPEECH_URL"
"""Environment variable with the address of a mirror, which has <resource>/<split>.tar.gz too."""


def download(root: Path, splits: Sequence[str]) -> None:
    """Fetch the official archives of these splits and unpack them below `root`.

    A split that is there, downloaded or unpacked by hand, is left alone. An archive is checked
    against its published MD5 sum, and removed when it has been unpacked.

    Raises CorpusError for an unknown split, when none is named, and when one cannot be had.
    """
    if not splits:
        sizes = (f"{split} ({decimal(archive.num_bytes)})" for split, archive in ARCHIVES.items())
        raise CorpusError(
            f"librispeech is large: name the splits that you want, of {', '.join(sizes)}."
        )
    if not _missing(root, splits):
        return
    with only_one(root / "LibriSpeech"):
        missing = _missing(root, splits)  # another process may have brought them meanwhile
        address = (os.environ.get(MIRROR) or ADDRESS).rstrip("/")
        if missing:
            size = decimal(sum(ARCHIVES[split].num_bytes for split in missing))
            print(
                f"LibriSpeech {', '.join(missing)}: {size} to fetch from {address} ({MIRROR} may "
                f"name a mirror), and as much again to unpack, to {root}",
                file=sys.stderr,
            )
        for split in missing:
            source, path = ARCHIVES[split], _archive_path(root, split)
            url = f"{address}/{source.resource}/{split}.tar.gz"
            fetch(url, path, checksum=f"md5:{source.md5}")
            unpack(path, root, marker=_marker(root, split))
            path.unlink()


def utterances(root: Path, split: str) -> list[Utterance]:
    """The utterances of a split with their texts, sorted by speaker, chapter and number as text.

    Raises CorpusError when the split is unknown or is not there, when a chapter has no
    transcript, or when a file cannot be read.
    """
    folder = _folder(root, split)
    remedy = f"run vqaudio download librispeech {root} --split {split}"
    if not folder.is_dir():
        raise CorpusError(f"{folder} does not exist: {remedy}.")
    found = []
    for chapter in sorted(path for path in folder.glob("*/*") if path.is_dir()):
        texts = _transcript(chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt")
        for path in sorted(chapter.glob("*.flac")):
            text = texts.get(path.stem) or None  # an id alone on its line: no text is known
            found.append(Utterance(path, chapter.parent.name, _seconds(path), text))
    if not found:
        raise CorpusError(f"{folder} has no <speaker>/<chapter>/*.flac: {remedy}.")
    return found


def _missing(root: Path, splits: Sequence[str]) -> list[str]:
    """The splits that are not there, each once. Raises CorpusError for an unknown one."""
    return [split for split in dict.fromkeys(splits) if not _is_there(root, split)]


def _is_there(root: Path, split: str) -> bool:
    """Whether the split has been unpacked. An archive of ours without the marker: not to its end.

    By hand leaves no marker.
    """
    folder = _folder(root, split)
    if _marker(root, split).exists():
        return True
    return not _archive_path(root, split).exists() and any(folder.glob("*/*/*.flac"))


def _folder(root: Path, split: str) -> Path:
    if split not in SPLITS:
        raise CorpusError(f"librispeech has no split {split!r}: choose from {', '.join(SPLITS)}.")
    return root / "LibriSpeech" / split


def _archive_path(root: Path, split: str) -> Path:
    """Where an archive is until it has been unpacked; hidden, so no one takes it for their own."""
    return root / "LibriSpeech" / f".{split}.tar.gz"


def _marker(root: Path, split: str) -> Path:
    """The empty file by which Kaldi's recipes, too, know a split that was unpacked to its end."""
    return _folder(root, split) / ".complete"


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
        return float(soundfile.info(os.fsencode(path)).duration)
    except soundfile.SoundFileError:
        raise CorpusError(f"{path} cannot be read: unpack the archive of its split anew.") from None
