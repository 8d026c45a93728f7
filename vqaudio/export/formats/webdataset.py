"""WebDataset: a tar with KEY.codes.npy (or KEY.ids.npy) and KEY.json for each recording.

The header is the first member, `__vqaudio__`, which WebDataset and `datasets` pass over.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import TokensError
from vqaudio.export.formats.format import Format
from vqaudio.export.formats.keys import to_key
from vqaudio.export.header import Header
from vqaudio.export.row import Row

HEADER = "__vqaudio__"


def _write(path: Path, header: Header, rows: Sequence[Row]) -> None:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        _add(tar, HEADER, json.dumps(header.facts()).encode())
        for row in rows:
            key = to_key(row.id)
            _add(tar, f"{key}.{header.column}.npy", _to_npy(header.to_column(row.tokens.codes)))
            _add(tar, f"{key}.json", json.dumps(row.facts(), ensure_ascii=False).encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # time 0, nobody's
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _to_npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()


def _read(path: Path) -> Iterator[Row]:
    try:
        with tarfile.open(path, "r|") as tar:
            members = iter(tar)
            header = _header_of(tar, next(members, None))
            for member in members:
                codes = header.from_column(_from_npy(_content(tar, member)))
                facts = json.loads(_content(tar, next(members)))
                row = Row.from_facts(facts, codes, header)
                if member.name != f"{to_key(row.id)}.{header.column}.npy":
                    raise TokensError(f"{member.name} is beside the facts of {row.id}")
                yield row
                tar.members = []  # type: ignore[attr-defined]  # it would remember all
    except TokensError as error:
        raise TokensError(f"{path} cannot be used: {error}") from None
    except (tarfile.TarError, OSError, ValueError, EOFError, TypeError, StopIteration) as error:
        raise _damaged(path, error) from None


def _from_npy(content: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise TokensError(f"{member.name} is no file")
    return file.read()


def _header(path: Path) -> Header:
    try:
        with tarfile.open(path, "r|") as tar:
            return _header_of(tar, tar.next())
    except TokensError as error:
        raise TokensError(f"{path} cannot be used: {error}") from None
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from None


def _header_of(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> Header:
    if member is None or member.name != HEADER:
        raise TokensError(f"it does not begin with {HEADER}")
    return Header.from_facts(json.loads(_content(tar, member)))


def _damaged(path: Path, error: Exception) -> TokensError:
    reason = str(error) or type(error).__name__
    return TokensError(f"{path} is no shard of an export, or a damaged one: {reason}")


FORMAT = Format(suffix=".tar", write=_write, read=_read, header=_header)
