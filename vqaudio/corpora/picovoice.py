"""The speech of two benchmarks of Picovoice: wake words and coffee orders, 16 kHz, Apache-2.0.

    root/picovoice/wake-word/<keyword>/<name>     github.com/Picovoice/wake-word-benchmark
    root/picovoice/intent/<name>.wav              github.com/Picovoice/speech-to-intent-benchmark

3.3 hours by more than a hundred volunteers on their own microphones. Nobody says who speaks when,
so each file counts as a speaker of its own, and the voices of the validation split may be heard in
training: another corpus tells more of new voices.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from vqaudio.audio import AUDIO_SUFFIXES
from vqaudio.corpora.archives import GITHUB, Source, github_archive
from vqaudio.corpora.lengths import LISTING, lengths
from vqaudio.corpora.splitting import SPLITS, check_split, select
from vqaudio.corpora.utterance import About, Utterance
from vqaudio.errors import CorpusError

__all__ = ["ABOUT", "SPLITS", "download", "to_fetch", "utterances"]

# Beside the keywords' folders lies multiple_keywords.wav, a mix that is no recording.
WAKE_WORD = github_archive(
    "Picovoice/wake-word-benchmark",
    "84919190fb1891bf0936dcb577d9268e467f876f",
    inside="audio",
    num_bytes=198_000_000,  # of the files: GitHub packs anew for each who asks
    folder="picovoice/wake-word",
    sign="*/*",
    num_files=2293,
)
INTENT = github_archive(
    "Picovoice/speech-to-intent-benchmark",
    "47b1ca63afe4f08cb83e1f70fec16764879bd130",
    inside="data/speech/clean",
    num_bytes=175_000_000,
    folder="picovoice/intent",
    sign="*.wav",
    num_files=619,
)
SOURCES = tuple(
    Source("picovoice", GITHUB, dict.fromkeys(SPLITS, archive)) for archive in (WAKE_WORD, INTENT)
)
ABOUT = About(
    "Picovoice's benchmarks, English wake words and coffee orders, 16 kHz",
    licence="Apache-2.0",
    hours=3.3,
    num_bytes=sum(source.num_bytes for source in SOURCES),
    language="en",
)

logger = logging.getLogger(__name__)


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Bytes that `download` would fetch. Raises CorpusError for an unknown split."""
    return sum(source.to_fetch(root, splits or SPLITS) for source in SOURCES)


def download(root: Path, splits: Sequence[str]) -> None:
    """Fetch both archives, which have all splits, and unpack them below `root`; see `Source`."""
    for source in SOURCES:
        source.download(root, splits)


def utterances(root: Path, split: str) -> list[Utterance]:
    """The readable recordings of a split, wake words first, sorted by path; they are the text.

    Files that cannot be read are left out, with one warning for all of them.

    Raises CorpusError when the split is unknown, is not there, or has nothing that can be read.
    """
    check_split("picovoice", split)
    home = root / "picovoice"
    folders = [source.folder(root, split) for source in SOURCES]
    paths = [
        path
        for folder, archive in zip(folders, (WAKE_WORD, INTENT), strict=True)
        for path in sorted(folder.glob(archive.sign))
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")
    ]
    files = lengths(paths, home / LISTING)
    if files.faults:
        logger.warning(
            "%d of %d recordings below %s are left out, the first one because %s.",
            *(len(files.faults), len(paths), home, next(iter(files.faults.values()))),
        )
    if not files.seconds:
        raise CorpusError(f"{home} holds no sound that can be read: unpack the archives anew.")
    readable = [path for path in paths if path in files.seconds]
    found = [
        Utterance(path, os.path.abspath(path), files.seconds[path], _keyword(path, folders[0]))
        for path in readable
    ]
    # Held out by names that do not depend on where the folder lies.
    return select(found, split, names=[path.relative_to(home).as_posix() for path in readable])


def _keyword(path: Path, wake_words: Path) -> str | None:
    """What is said in a wake word's recording; nobody has written down the coffee orders."""
    return path.parent.name if path.parent.parent == wake_words else None
