"""How long sound files are, remembered beside them: a start that finds nothing new opens no file.

The listing is one JSON object, file -> [bytes, time of change, seconds]. A file that is not in it,
or has another size or time than is written there, is opened; so what is added, removed or
replaced is noticed for the price of a `stat` each.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress

from vqaudio import audio
from vqaudio.errors import AudioError, VqaudioError
from vqaudio.files import atomic

logger = logging.getLogger(__name__)

LISTING = ".vqaudio-lengths.json"
"""The listing of a folder: hidden, so that nobody takes it for a part of the corpus."""

FORMAT_VERSION = 1

Known = dict[str, tuple[int, int, float]]


class Lengths(NamedTuple):
    """Of the files that were asked for, in seconds, and why the others have none."""

    seconds: dict[Path, float]
    faults: dict[Path, AudioError]


def lengths(paths: Sequence[Path], listing: Path) -> Lengths:
    """The length of each file, from `listing` where that is up to date, else from its header.

    Files below the folder of `listing` are known to it by their place there, so that a corpus may
    move; others by their full path. The listing is written anew where it lacked a file or has one
    too many, and also on Ctrl-C; a folder that cannot be written to costs time at every start, and
    is no error.
    """
    prefix = os.path.join(os.path.abspath(listing.parent), "")
    known = _load(listing)
    found: Known = {}
    faults: dict[Path, AudioError] = {}
    unknown: list[tuple[Path, str, tuple[int, int]]] = []
    seconds: dict[Path, float] = {}
    for path in dict.fromkeys(paths):
        name = os.path.abspath(path).removeprefix(prefix)
        try:
            state = os.stat(path)
        except OSError as error:
            faults[path] = AudioError(f"cannot read {path}: {error.strerror}; put it there")
            continue
        stamp = (state.st_size, state.st_mtime_ns)
        if (entry := known.get(name)) and entry[:2] == stamp:
            found[name] = entry
            seconds[path] = entry[2]
        else:
            unknown.append((path, name, stamp))
    try:
        for path, name, stamp in _with_progress(unknown, listing.parent):
            try:
                length = _measure(path)
            except AudioError as error:
                faults[path] = error
                continue
            found[name] = (*stamp, length)
            seconds[path] = length
    finally:
        if found != known:
            _save(listing, found)
    return Lengths(seconds, faults)


def _measure(path: Path) -> float:
    """Seconds. Raises AudioError."""
    seconds = audio.info(path).seconds
    # No length in the header: the file is decoded to know it.
    return audio.read(path).seconds if seconds is None else seconds


def _with_progress(
    unknown: list[tuple[Path, str, tuple[int, int]]], folder: Path
) -> Iterator[tuple[Path, str, tuple[int, int]]]:
    """One after the other, with a bar on a terminal: hundreds of thousands take minutes."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(unknown, description=f"read the lengths in {folder}")


def _load(listing: Path) -> Known:
    """Nothing where there is no listing, or one that is damaged or of another version."""
    try:
        with listing.open(encoding="utf-8") as file:
            content = json.load(file)
        if content["format_version"] != FORMAT_VERSION:
            return {}
        return {
            name: (int(size), int(changed), float(seconds))
            for name, (size, changed, seconds) in content["files"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _save(listing: Path, found: Known) -> None:
    try:
        with atomic(listing) as temporary:
            content = {"format_version": FORMAT_VERSION, "files": found}
            temporary.write_text(json.dumps(content), encoding="utf-8")
    except (VqaudioError, OSError) as error:
        logger.info("the lengths of the files are not remembered: %s", error)
