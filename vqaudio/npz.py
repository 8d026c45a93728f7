"""Arrays with a JSON header in one .npz file, read without trust in what the file claims."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Contents(NamedTuple):
    """What a file holds."""

    header: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def pack(header: dict[str, Any], **arrays: NDArray[Any]) -> bytes:
    """The same content gives the same bytes, whenever it is packed."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays, header=np.array(json.dumps(header)))  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(data: bytes, *names: str, max_bytes: int) -> Contents:
    """Of `pack`'s bytes the header and the arrays in `names`.

    Raises OverflowError, before anything is unpacked, for more than `max_bytes`; for other bytes
    than `pack` makes whatever zip, array and JSON readers raise: a dozen types between them.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > max_bytes:
            raise OverflowError(f"it would unpack to {size} bytes")
        header = json.loads(str(_read_npy(archive, "header")))
        return Contents(header, {name: _read_npy(archive, name) for name in names})


def _read_npy(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    # Not by np.load: it makes room for whatever shape is claimed, and leaves the member's checksum
    # unread. frombuffer takes what is there, and no objects, which could run code.
    file = io.BytesIO(archive.read(f"{name}.npy"))
    np.lib.format.read_magic(file)
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    array = np.frombuffer(file.read(), dtype)
    return array.reshape(shape, order="F" if by_columns else "C").copy()
