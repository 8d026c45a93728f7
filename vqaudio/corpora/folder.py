"""Any folder of sound files as a corpus: one sub-folder per speaker.

root/<speaker>/.../<name>.flac     the first sub-folder names the speaker
root/<name>.flac                   a file that lies directly in the folder is its own speaker, and
                                   nobody of another folder by the same name
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from vqaudio import audio
from vqaudio.corpora.lengths import LISTING, lengths
from vqaudio.corpora.splitting import SPLITS, check_split, select
from vqaudio.corpora.utterance import About, Utterance
from vqaudio.errors import AudioError, CorpusError

__all__ = ["ABOUT", "SPLITS", "download", "to_fetch", "utterances"]

ABOUT = About("any folder of sound files, with a sub-folder per speaker")

logger = logging.getLogger(__name__)


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Nothing. Raises CorpusError for an unknown split."""
    for split in splits:
        check_split("folder", split)
    return 0


def download(root: Path, splits: Sequence[str]) -> None:
    """Check that the folder exists: there is nothing to fetch.

    Raises CorpusError for an unknown split, or when `root` is no folder.
    """
    to_fetch(root, splits)
    if not root.is_dir():
        raise CorpusError(f"{root} is not a folder: name one that holds sound files.")


def utterances(root: Path, split: str) -> list[Utterance]:
    """The readable sound files of one split, sorted by path; hidden files are passed over.

    Files that cannot be read are left out, with one warning for all of them.

    Raises CorpusError when `root` is no folder, or holds no sound that can be read.
    """
    download(root, [split])
    try:
        paths = audio.find_audio(root)
    except AudioError as error:
        raise CorpusError(f"{error}.") from None
    files = lengths(paths, root / LISTING)
    if files.faults:
        logger.warning(
            "%d of %d sound files below %s are left out, the first one because %s.",
            *(len(files.faults), len(paths), root, next(iter(files.faults.values()))),
        )
    if not files.seconds:
        fault = next(iter(files.faults.values()))
        raise CorpusError(f"{root} holds no sound that can be read: {fault}.")
    readable = [path for path in paths if path in files.seconds]
    found = [Utterance(path, _speaker(path, root), files.seconds[path]) for path in readable]
    # Held out by names that do not depend on where the folder lies.
    names = [path.stem if path.parent == root else _speaker(path, root) for path in readable]
    return select(found, split, names=names)


def _speaker(path: Path, root: Path) -> str:
    """The sub-folder, or else the full path, as two folders may both have a 001.wav."""
    return os.path.abspath(path) if path.parent == root else path.relative_to(root).parts[0]
