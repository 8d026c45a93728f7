"""Any folder of sound files as a corpus: one sub-folder per speaker.

root/<speaker>/.../<name>.flac     the first sub-folder names the speaker
root/<name>.flac                   a file that lies directly in the folder is its own speaker
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from vqaudio import audio
from vqaudio.corpora.utterance import Utterance
from vqaudio.errors import AudioError, CorpusError

SPLITS: tuple[str, ...] = ("train", "validation")
VALIDATION_SHARE = 0.05

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

    Files that cannot be read are left out, with one warning for all of them.

    Raises CorpusError when `root` is no folder, or holds no sound that can be read.
    """
    download(root, [split])
    try:
        paths = audio.find_audio(root)
    except AudioError as error:
        raise CorpusError(f"{error}.") from None
    found: list[Utterance] = []
    faults: list[AudioError] = []
    for path in paths:
        try:
            seconds = audio.info(path).seconds
            if seconds is None:  # no length in the header: the file is decoded to know it
                seconds = audio.read(path).seconds
        except AudioError as error:
            faults.append(error)
            continue
        speaker = path.relative_to(root).parts[0] if path.parent != root else path.stem
        found.append(Utterance(path, speaker, seconds))
    if faults:
        logger.warning(
            "%d of %d sound files below %s are left out, the first one because %s.",
            *(len(faults), len(paths), root, faults[0]),
        )
    if not found:
        raise CorpusError(f"{root} holds no sound that can be read: {faults[0]}.")
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
