"""JSON lines: every line says all of itself, so that lines may be shuffled, cut out and joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vqaudio.export.formats.format import Format
from vqaudio.export.formats.lines import read_header, read_rows, write_lines
from vqaudio.export.header import Header
from vqaudio.export.row import Row


def _write(path: Path, header: Header, rows: Sequence[Row]) -> None:
    codes = ({header.column: header.to_column(row.tokens.codes).tolist()} for row in rows)
    write_lines(path, header, "jsonl", rows, codes)


def _read(path: Path) -> Iterator[Row]:
    return read_rows(path, _make)


def _make(header: Header, facts: dict[str, Any]) -> Row:
    return Row.from_facts(facts, header.from_column(facts[header.column]), header)


FORMAT = Format(suffix=".jsonl", write=_write, read=_read, header=read_header)
