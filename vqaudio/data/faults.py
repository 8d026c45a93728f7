"""Files that could not be read: skipped, and listed once each in the run folder."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vqaudio.errors import AudioError, CorpusError, VqaudioError

FILE_NAME = "unreadable.jsonl"


class Fault(NamedTuple):
    """A file that could not be read."""

    path: str
    reason: str


class UnreadableError(CorpusError):
    """Too many files in a row could not be read; `faults` are those not yet told."""

    faults: tuple[Fault, ...] = ()


class Faults:
    """The files that this process could not read, and which of them are yet to be told."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._new: list[Fault] = []

    def __contains__(self, path: Path) -> bool:
        return os.fspath(path) in self._known

    def note(self, path: Path, error: AudioError) -> None:
        if path not in self:
            self._known.add(os.fspath(path))
            self._new.append(Fault(os.fspath(path), str(error)))

    def take(self) -> tuple[Fault, ...]:
        """Those noted since the last call."""
        taken, self._new = tuple(self._new), []
        return taken


def record_faults(run: Path, faults: Sequence[Fault]) -> int:
    """Appends to `run`/unreadable.jsonl the files that are not in it yet; returns how many are new.

    Processes of a joint run may all call it: their lines do not mix, and the worst that can happen
    is that two of them list the same file.

    Raises VqaudioError when the list cannot be read or written.
    """
    if not faults:
        return 0
    path = run / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        listed = {_path_of(line) for line in text.splitlines()}
        new = {fault.path: fault for fault in faults if fault.path not in listed}
        # The last line of a run that was killed may have no end.
        torn = "\n" if new and text and not text.endswith("\n") else ""
        lines = "".join(json.dumps(fault._asdict()) + "\n" for fault in new.values())
        with path.open("ab", buffering=0) as file:
            file.write((torn + lines).encode())
    except OSError as error:
        raise VqaudioError(
            f"cannot write {path}: {error.strerror}; give the run a folder that can be written"
        ) from error
    return len(new)


def _path_of(line: str) -> str | None:
    """The path in a line of the list; None for a torn one."""
    try:
        return str(json.loads(line)["path"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return None
