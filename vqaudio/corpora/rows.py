"""What manifests say, whatever their format, and the utterances that come of it."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vqaudio.corpora.lengths import lengths
from vqaudio.corpora.splitting import select
from vqaudio.corpora.utterance import Utterance
from vqaudio.errors import CorpusError

MAX_OVERSHOOT = 0.5
"""Seconds that a segment may reach beyond the end of its file and is cut there: ends are rounded,
or taken from a compressed copy with silence at its end. Kaldi allows as much."""


class Row(NamedTuple):
    """One utterance in a manifest."""

    where: str
    """For messages: file and line."""
    path: Path
    start: float = 0.0
    """Seconds."""
    seconds: float | None = None
    """None: to the end of the file."""
    speaker: str | None = None
    """None: nobody knows, so each file is taken for a speaker of its own."""
    text: str | None = None
    language: str | None = None


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and content of each line of a text file, or one packed by gzip, that is not empty.

    Raises CorpusError when it is missing or no text.
    """
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig")
        ) as file:
            for number, line in enumerate(file, start=1):
                if content := line.strip():
                    yield number, content
    except UnicodeDecodeError:
        raise CorpusError(f"{path} is not UTF-8 text: convert it, or name another file.") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise CorpusError(f"cannot read {path}: {reason}; name a file that is there.") from None


def locate(folder: Path, entry: str) -> Path:
    """A path in a manifest that lies in `folder`.

    A relative one starts there or, if there is nothing, at the working folder, as it does for
    Kaldi and Lhotse.
    """
    beside = folder / entry
    return beside if beside.exists() or not Path(entry).exists() else Path(entry)


Faults = list[tuple[Row, str]]
"""Rows that are left out, and why."""


def to_utterances(
    rows: Sequence[Row],
    listing: Path,
    *,
    remedy: str = "correct the line",
    faults: Faults | None = None,
) -> list[Utterance]:
    """The utterances of `rows` in their order; the lengths of the files are kept in `listing`.

    `remedy` is what the user is told to do about a file that cannot be read. With `faults` the rows
    that are wrong are left out and noted there.

    Raises CorpusError for a file that is missing or cannot be read, and for a segment that is not
    within its file.
    """
    files = lengths([row.path for row in rows], listing)
    utterances = []
    for row in rows:
        try:
            if row.path in files.faults:
                raise CorpusError(f"{row.where}: {files.faults[row.path]}, or {remedy}.")
            seconds = _seconds(row, files.seconds[row.path])
        except CorpusError as error:
            if faults is None:
                raise
            faults.append((row, str(error)))
            continue
        # By the full path, two manifests that list one file are seen to share it.
        speaker = os.path.abspath(row.path) if row.speaker is None else row.speaker
        utterances.append(Utterance(row.path, speaker, seconds, row.text, row.start, row.language))
    return utterances


def select_utterances(
    rows: Sequence[Row],
    listing: Path,
    split: str,
    *,
    remedy: str = "correct the line",
    faults: Faults | None = None,
) -> list[Utterance]:
    """As `to_utterances`, for one of the splits that are made by the names of the speakers.

    Files without a speaker go by their place relative to `listing`: the same ones are held out
    wherever the manifest and its files have been moved together.
    """
    left_out: Faults = [] if faults is None else faults
    found = to_utterances(rows, listing, remedy=remedy, faults=faults)
    wrong = {id(row) for row, _ in left_out}
    names = [
        os.path.relpath(row.path, listing.parent) if row.speaker is None else row.speaker
        for row in rows
        if id(row) not in wrong
    ]
    return select(found, split, names=names)


def _seconds(row: Row, available: float) -> float:
    """Length of the utterance, in a file that has `available` seconds."""
    asked = available - row.start if row.seconds is None else row.seconds
    if not (math.isfinite(row.start) and row.start >= 0):
        raise CorpusError(
            f"{row.where}: the utterance starts at {row.start:g} s: give 0 or more, in seconds."
        )
    if row.start >= available > 0:
        raise CorpusError(
            f"{row.where}: the utterance starts at {row.start:g} s, and {row.path} has "
            f"{available:g} s: give a start, in seconds, within the file."
        )
    if not (math.isfinite(asked) and asked >= 0):
        raise CorpusError(
            f"{row.where}: the utterance lasts {asked:g} s: give 0 or more, in seconds."
        )
    if row.start + asked > available + MAX_OVERSHOOT:
        raise CorpusError(
            f"{row.where}: the utterance ends at {row.start + asked:g} s, and {row.path} has "
            f"{available:g} s: give an end, in seconds, within the file."
        )
    return min(asked, available - row.start)
