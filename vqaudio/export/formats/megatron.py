"""Megatron-LM's IndexedDataset: ids one after the other in .bin, where each begins in .idx.

A recording is a document of one sequence, with its begin and end. The .jsonl beside them has the
header and the facts of each, so that sound can be made again.

.idx, little-endian: magic, version, dtype, number of sequences, number of document bounds; then
lengths (int32), byte offsets (int64), document bounds (int64).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import TokensError, VqaudioError
from vqaudio.export.formats.format import Format
from vqaudio.export.formats.lines import read_header, read_rows, write_lines
from vqaudio.export.header import Header
from vqaudio.export.row import Row

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
HEAD = struct.Struct("<9sQBQQ")
DTYPES: dict[int, np.dtype[Any]] = {4: np.dtype("<i4"), 8: np.dtype("<u2")}
"""Megatron's numbers of those that are written."""
WIDE_FROM = 65_500
"""Ids: Megatron takes 16 bits below, 32 from there on."""


class Index(NamedTuple):
    """What .idx says."""

    dtype: np.dtype[Any]
    lengths: NDArray[np.int32]
    pointers: NDArray[np.int64]
    """Bytes into .bin."""


def _check(header: Header) -> None:
    if not header.is_flat:
        raise VqaudioError(
            "megatron keeps one row of ids for each recording: give --pattern flatten or "
            "coarse-first"
        )


def _write(path: Path, header: Header, rows: Sequence[Row]) -> None:
    code = 8 if header.vocabulary.size < WIDE_FROM else 4
    dtype = DTYPES[code]
    lengths = []
    with path.with_suffix(".bin").open("wb") as file:
        for row in rows:
            ids = header.to_column(row.tokens.codes)
            lengths.append(len(ids))
            file.write(ids.astype(dtype).tobytes())
    ends = np.cumsum(lengths, dtype=np.int64) * dtype.itemsize
    with path.open("wb") as file:
        file.write(HEAD.pack(MAGIC, VERSION, code, len(rows), len(rows) + 1))
        file.write(np.array(lengths, "<i4").tobytes())
        file.write(np.concatenate([[0], ends[:-1]]).astype("<i8").tobytes())
        file.write(np.arange(len(rows) + 1, dtype="<i8").tobytes())
    places = ({"document": place} for place in range(len(rows)))
    write_lines(path.with_suffix(".jsonl"), header, "megatron", rows, places)


def _read(path: Path) -> Iterator[Row]:
    try:
        index = _read_index(path.with_suffix(".idx").read_bytes())
        with path.with_suffix(".bin").open("rb") as file:
            documents = _documents(index, file)

            def make(header: Header, facts: dict[str, Any]) -> Row:
                return Row.from_facts(facts, header.from_column(next(documents)), header)

            num_lines = 0
            for row in read_rows(path.with_suffix(".jsonl"), make):
                num_lines += 1
                yield row
            if num_lines != len(index.lengths) or file.read(1):
                raise TokensError(f"{len(index.lengths)} documents are beside {num_lines} lines")
    except TokensError as error:
        raise TokensError(f"{path} cannot be used: {error}") from None
    except (OSError, struct.error) as error:
        raise TokensError(f"{path} is no shard of an export, or a damaged one: {error}") from None


def _documents(index: Index, file: IO[bytes]) -> Iterator[NDArray[np.int32]]:
    """The ids [L] of each."""
    for number, (length, pointer) in enumerate(zip(*index[1:], strict=True), start=1):
        if file.tell() != pointer:
            raise TokensError(f"document {number} begins at another place than its .idx says")
        content = file.read(length * index.dtype.itemsize)
        yield np.frombuffer(content, index.dtype).astype(np.int32)
    raise TokensError("its .jsonl has more lines than there are documents")


def _read_index(content: bytes) -> Index:
    magic, version, code, sequences, bounds = HEAD.unpack_from(content)
    if (magic, version, bounds) != (MAGIC, VERSION, sequences + 1) or code not in DTYPES:
        raise TokensError("its .idx is none that vqaudio writes")
    if len(content) != HEAD.size + sequences * (4 + 8) + bounds * 8:
        raise TokensError("its .idx has been cut or has grown")
    lengths = np.frombuffer(content, "<i4", sequences, HEAD.size)
    pointers = np.frombuffer(content, "<i8", sequences, HEAD.size + 4 * sequences)
    return Index(DTYPES[code], lengths, pointers)


def _header(path: Path) -> Header:
    return read_header(path.with_suffix(".jsonl"))


FORMAT = Format(suffix=".idx", write=_write, read=_read, header=_header, check=_check)
