"""A tree of token files as `vqaudio tokenize` writes, ID.npz, and for each shard a list of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vqaudio.errors import TokensError, VqaudioError
from vqaudio.export.formats.format import Format
from vqaudio.export.formats.keys import to_path
from vqaudio.export.formats.lines import read_header, read_rows, write_lines
from vqaudio.export.header import Header
from vqaudio.export.row import Row
from vqaudio.tokens import Tokens


def _check(header: Header) -> None:
    if header.pattern is not None:
        raise VqaudioError("npz keeps plain codes: give no --pattern, or choose another format")


def _write(path: Path, header: Header, rows: Sequence[Row]) -> None:
    names = [_name(row.id) for row in rows]
    for row, name in zip(rows, names, strict=True):
        target = path.parent / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(row.tokens.to_bytes())
    write_lines(path, header, "npz", rows, ({"tokens": name} for name in names))


def _name(id: str) -> str:
    # A folder x.npz would be in the way of the tokens of x.
    return re.sub(r"\.npz(?=/)", "%2Enpz", to_path(id)) + ".npz"


def _others(path: Path) -> list[str]:
    return [_name(json.loads(line)["id"]) for line in path.read_bytes().splitlines()]


def _read(path: Path) -> Iterator[Row]:
    return read_rows(path, partial(_make, path.parent))


def _make(folder: Path, header: Header, facts: dict[str, Any]) -> Row:
    tokens = Tokens.load(folder / facts["tokens"])
    row = Row.from_facts(facts, tokens.codes, header)
    if row.tokens != tokens:
        raise TokensError(f"{facts['tokens']} is of another recording or model")
    return row


FORMAT = Format(
    suffix=".jsonl",
    write=_write,
    read=_read,
    header=read_header,
    check=_check,
    others=_others,
)
