"""What has been measured so far, on disk: an evaluation that was stopped goes on from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
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
    """A line for each recording that is measured, in a hidden file of a folder.

    The file is named by what is evaluated, so that another evaluation in the same folder has a
    journal of its own. A line that was cut off by a kill is dropped. Without a folder nothing is
    written.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.path: Path | None = None
        self._file: TextIO | None = None

    def open(self, heading: Mapping[str, Any]) -> dict[int, Measured]:
        """What earlier calls have measured, by the place of the recording.

        Raises VqaudioError when the folder cannot be written.
        """
        if self.folder is None:
            return {}
        text = json.dumps(heading, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.path = self.folder / f".measured-{digest}.jsonl"
        whole = _whole_lines(self.path)
        with atomic(self.path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")
        self._file = self.path.open("a", encoding="utf-8")
        return dict(map(_from_line, whole))

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):  # a full disk is told by `add`
                self._file.close()

    def add(self, place: int, measured: Measured) -> None:
        """Raises VqaudioError when the disk is full."""
        if self._file is None:
            return
        try:
            self._file.write(_to_line(place, measured) + "\n")
            self._file.flush()
        except OSError as error:
            raise VqaudioError(
                f"cannot write {self.path}: {error.strerror}; the same command goes on from there"
            ) from None

    def remove(self) -> None:
        """Once the results are elsewhere."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _whole_lines(path: Path) -> list[str]:
    """The lines of an earlier journal that can be read, up to the first that cannot."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    whole = []
    for line in lines:
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
