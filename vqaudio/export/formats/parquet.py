"""Parquet: a row a recording, codes as lists of lists; for `datasets`, pandas, DuckDB, Spark.

The header is JSON under the key "vqaudio" of the schema's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import TokensError, VqaudioError
from vqaudio.export.formats.format import Format
from vqaudio.export.header import Header
from vqaudio.export.row import Row

ROWS_AT_ONCE = 256
"""In a row group: what a reader holds in memory, some MB."""

SETTINGS = {"compression": "zstd", "write_page_checksum": True}

COLUMNS = {
    "id": "string",
    "num_samples": "int64",
    "seconds": "double",
    "speaker": "string",
    "text": "string",
    "language": "string",
    "path": "string",
    "start": "double",
    "source_sample_rate": "int32",
    "source_num_samples": "int64",
    "source_num_channels": "int32",
    "sha256": "string",
}
"""Beside the codes, by the names of pyarrow's types."""


def _check(header: Header) -> None:
    _pyarrow()


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise VqaudioError(
            "parquet needs pyarrow: pip install 'vqaudio[export]', or choose another format"
        ) from None
    return pyarrow


def _write(path: Path, header: Header, rows: Sequence[Row]) -> None:
    pa = _pyarrow()
    schema = _schema(pa, header)
    with pa.parquet.ParquetWriter(path, schema, **SETTINGS) as writer:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            facts = [row.facts() for row in some]
            columns = [
                pa.array([fact[name] for fact in facts], schema.field(name).type)
                for name in COLUMNS
            ]
            columns.insert(1, _lists(pa, header, [header.to_column(r.tokens.codes) for r in some]))
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _schema(pa: Any, header: Header) -> Any:
    element = pa.uint16() if header.pattern is None else pa.int32()
    codes = pa.list_(element) if header.is_flat else pa.list_(pa.list_(element))
    fields = [pa.field(name, getattr(pa, kind, pa.float64)()) for name, kind in COLUMNS.items()]
    fields.insert(1, pa.field(header.column, codes))
    return pa.schema(fields, metadata={"vqaudio": json.dumps(header.facts())})


def _lists(pa: Any, header: Header, stored: Sequence[NDArray[Any]]) -> Any:
    """[[...], ...] of NumPy arrays [L] or [R, L_i], without a Python object for each number."""
    lengths = [array.shape[-1] for array in stored for _ in range(header.num_rows)]
    values = pa.array(np.concatenate([array.reshape(-1) for array in stored]))
    inner = pa.ListArray.from_arrays(_offsets(lengths), values)
    if header.is_flat:
        return inner
    return pa.ListArray.from_arrays(_offsets([header.num_rows] * len(stored)), inner)


def _offsets(lengths: Sequence[int]) -> NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def _read(path: Path) -> Iterator[Row]:
    pa = _pyarrow()
    try:
        with pa.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            header = _header_of(file)
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                facts = batch.select(list(COLUMNS)).to_pylist()
                for row, stored in zip(facts, batch.column(header.column), strict=True):
                    yield Row.from_facts(row, header.from_column(_to_array(stored, header)), header)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise _damaged(path, error) from None
    except TokensError as error:
        raise TokensError(f"{path} cannot be used: {error}") from None


def _to_array(stored: Any, header: Header) -> NDArray[Any]:
    """One row's list, or list of lists, as an array [L] or [R, L]."""
    if header.is_flat:
        flat: NDArray[Any] = stored.values.to_numpy()
        return flat
    both: NDArray[Any] = stored.values.flatten().to_numpy()
    return both.reshape(header.num_rows, -1)


def _header(path: Path) -> Header:
    pa = _pyarrow()
    try:
        with pa.parquet.ParquetFile(path) as file:
            return _header_of(file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from None
    except TokensError as error:
        raise TokensError(f"{path} cannot be used: {error}") from None


def _header_of(file: Any) -> Header:
    metadata = file.schema_arrow.metadata or {}
    return Header.from_facts(json.loads(metadata.get(b"vqaudio", b"null")))


def _damaged(path: Path, error: Exception) -> TokensError:
    reason = " ".join(str(error).split())
    return TokensError(f"{path} is no shard of an export, or a damaged one: {reason}")


FORMAT = Format(suffix=".parquet", write=_write, read=_read, header=_header, check=_check)
