"""Any folder of sound files as a corpus: one sub-folder per speaker.

root/<speaker>/.../<name>.flac     the first sub-folder names the speaker
root/<name>.flac                   a file that lies directly in the folder is its own speaker
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import soundfile

from vqaudio.corpora.utterance import Utterance
from vqaudio.errors import CorpusError

SPLITS: tuple[str, ...] = ("train", "validation")
VALIDATION_SHARE = 0.05
SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf"})

logger = logging.getLogger(__name__)


def download(root: Path, splits: Sequence[str]) -> None:
    """Check that the folder exists: there is nothing to fetch.

    Raises CorpusError for an unknown split, or when `root` is no folder.
    """
    for split in splits:
        if split not in SPLITS:
            raise CorpusError(f"folder has no split {split!r}: choose from {', '.join(SPLITS)}.")
    if not root.is_dir():
        raise CorpusError(f"{root} is not a folder: name one that holds sound files.")


def utterances(root: Path, split: str) -> list[Utterance]:
    """The readable sound files of one split, sorted by path; hidden files are passed over.

    Raises CorpusError when `root` is no folder, or holds no sound that can be read.
    """
    download(root, [split])
    found = []
    unreadable = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        hidden = any(part.startswith(".") for part in parts)
        if hidden or path.suffix.lower() not in SUFFIXES or path.is_dir():
            continue
        try:
            seconds = float(soundfile.info(path).duration)
        except (OSError, soundfile.SoundFileError):
            unreadable.append(path)
            continue
        found.append(Utterance(path, parts[0] if len(parts) > 1 else path.stem, seconds))
    if unreadable:
        logger.warning(
            "%d sound files below %s cannot be read and are left out, %s first.",
            len(unreadable),
            root,
            unreadable[0],
        )
    if not found:
        raise CorpusError(f"{root} holds no readable sound file ({' '.join(sorted(SUFFIXES))}).")
    held_out = _held_out({utterance.speaker for utterance in found})
    return [u for u in found if (u.speaker in held_out) == (split == "validation")]


def _held_out(speakers: Iterable[str]) -> set[str]:
    """The validation speakers: about 5 %, at least one of two or more.

    A speaker's place depends on the name alone, so adding speakers moves no other one; only
    where chance holds out nobody, or everybody, does the speaker nearest the limit move.
    """
    places = {speaker: _place(speaker) for speaker in speakers}
    ranked = sorted(places, key=lambda speaker: places[speaker])
    if len(ranked) < 2:
        return set()
    count = sum(place < VALIDATION_SHARE for place in places.values())
    return set(ranked[: min(max(count, 1), len(ranked) - 1)])


def _place(speaker: str) -> float:
    """A number in [0, 1) that a name always gets, on every machine (hash() is salted)."""
    return int.from_bytes(hashlib.sha256(speaker.encode()).digest()[:8], "big") / 2**64
