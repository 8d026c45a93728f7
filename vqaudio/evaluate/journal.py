"""What has been measured so far, on disk: an evaluation that was stopped goes on from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vqaudio.errors import VqaudioError
from vqaudio.evaluate.measuring import Measured
from vqaudio.evaluate.results import FileResult
from vqaudio.files import atomic


class Journal:
    """What is measured, by the place of the recording, and a line for each in a file.

    The first line says of what evaluation. A line that was cut off by a kill is dropped, and so is
    the journal of another evaluation. Without a path nothing is written.
    """

    def __init__(self, path: Path | None, heading: Mapping[str, Any]) -> None:
        """Raises VqaudioError when `path` cannot be written."""
        self.path = path
        self.found: dict[int, Measured] = {}
        self._file: TextIO | None = None
        if path is None:
            return
        first = json.dumps(heading, sort_keys=True)
        kept = _whole_lines(path)
        if not kept or kept[0] != first:
            kept = [first]
        with atomic(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self.found = dict(map(_from_line, kept[1:]))
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, place: int, measured: Measured) -> None:
        """Raises VqaudioError when the disk is full."""
        self.found[place] = measured
        if self._file is None:
            return
        try:
            self._file.write(_to_line(place, measured) + "\n")
            self._file.flush()
        except OSError as error:
            raise VqaudioError(
                f"cannot write {self.path}: {error.strerror}; the same command goes on from there"
            ) from None


def _whole_lines(path: Path) -> list[str]:
    """The lines of an earlier journal that can be read, up to the first that cannot."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    whole = lines[:1]
    for line in lines[1:]:
        try:
            _from_line(line)
        except (ValueError, KeyError, TypeError, ValidationError):
            break
        whole.append(line)
    return whole


def _to_line(place: int, measured: Measured) -> str:
    counts = {
        system: [_sparse(level) for level in levels] for system, levels in measured.counts.items()
    }
    rows = [row.model_dump(mode="json") for row in measured.rows]
    return json.dumps({"place": place, "rows": rows, "counts": counts, "fault": measured.fault})


def _from_line(line: str) -> tuple[int, Measured]:
    entry = json.loads(line)
    counts = {
        system: tuple(_dense(*level) for level in levels)
        for system, levels in entry["counts"].items()
    }
    rows = tuple(FileResult.model_validate(row) for row in entry["rows"])
    return int(entry["place"]), Measured(rows, counts, entry["fault"])


def _sparse(counts: NDArray[np.int64]) -> list[Any]:
    """[K] -> K, the codes that occur, how often."""
    present = counts.nonzero()[0]
    return [len(counts), present.tolist(), counts[present].tolist()]


def _dense(size: int, present: list[int], how_often: list[int]) -> NDArray[np.int64]:
    counts = np.zeros(size, np.int64)
    counts[present] = how_often
    return counts
