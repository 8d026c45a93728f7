"""Lines of JSON with the facts of a row and its header: a format, and the side files of others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vqaudio.errors import TokensError
from vqaudio.export.header import Header
from vqaudio.export.row import Row


def write_lines(
    path: Path,
    header: Header,
    format: str,
    rows: Sequence[Row],
    more: Iterable[dict[str, Any]],
) -> None:
    """A line for each row: its facts, `more` of it, and under "vqaudio" the header."""
    about = {"vqaudio": {"format": format, **header.facts()}}
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row, extra in zip(rows, more, strict=True):
            line = json.dumps({**row.facts(), **extra, **about}, ensure_ascii=False)
            file.write(f"{line}\n")


def read_rows(path: Path, make: Callable[[Header, dict[str, Any]], Row]) -> Iterator[Row]:
    """What `make` makes of header and facts of each line.

    Raises TokensError, with the number of the line, for one that cannot be used, and for no line.
    """
    known: dict[str, Header] = {}  # all lines have the same, as a rule
    number = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    facts = json.loads(line)
                    about = json.dumps(facts["vqaudio"])
                    if about not in known:
                        known = {about: Header.from_facts(facts["vqaudio"])}
                    row = make(known[about], facts)
                except TokensError as error:
                    raise TokensError(f"{path}, line {number}: {error}") from None
                except (ValueError, KeyError, TypeError):
                    raise TokensError(
                        f"{path}, line {number} is no row of an export, or damaged"
                    ) from None
                yield row
        if not number:
            raise TokensError(f"{path} is empty: name a shard of an export")
    except OSError as error:
        raise TokensError(f"cannot read {path}: {error.strerror}") from None


def read_header(path: Path) -> Header:
    """Of the first line. Raises TokensError."""
    return Header.from_facts(_about(path))


def read_format(path: Path) -> str:
    """Which format the lines belong to. Raises TokensError."""
    return str(_about(path).get("format"))


def _about(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            about = json.loads(file.readline())["vqaudio"]
        if isinstance(about, dict):
            return about
    except OSError as error:
        raise TokensError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        pass
    raise TokensError(f"{path} is no shard of an export, or a damaged one")
