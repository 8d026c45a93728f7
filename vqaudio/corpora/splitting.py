"""Speakers to validate on, for corpora that name none themselves.

A recording whose speaker is not known counts as a speaker of its own: it is then held out or not
by itself, and the same person may be heard in training and in validation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from vqaudio.corpora.utterance import Utterance
from vqaudio.errors import CorpusError

SPLITS: tuple[str, ...] = ("train", "validation", "all")
"""`all` is both: for a recipe that has one folder to train on and another to validate on."""
VALIDATION_SHARE = 0.05


def check_split(corpus: str, split: str, splits: Sequence[str] = SPLITS) -> None:
    """Raises CorpusError for a split that there is not."""
    if split not in splits:
        raise CorpusError(f"{corpus} has no split {split!r}: choose from {', '.join(splits)}.")


def select(
    utterances: Sequence[Utterance], split: str, *, names: Sequence[str] | None = None
) -> list[Utterance]:
    """The utterances of one of SPLITS, in their order.

    `names` are those of the speakers, one an utterance, where `Utterance.speaker` would tell them
    apart but is another on another machine.
    """
    if split == "all":
        return list(utterances)
    names = [utterance.speaker for utterance in utterances] if names is None else names
    speakers = held_out(names)
    return [
        utterance
        for utterance, name in zip(utterances, names, strict=True)
        if (name in speakers) == (split == "validation")
    ]


def held_out(speakers: Iterable[str]) -> set[str]:
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
