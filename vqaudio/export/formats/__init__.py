"""The formats of shards: a file each, and a line in the table."""

from __future__ import annotations

from vqaudio.export.formats import jsonl, megatron, npz, parquet, webdataset
from vqaudio.export.formats.format import Format

__all__ = ["FORMATS", "Format"]

FORMATS: dict[str, Format] = {
    "parquet": parquet.FORMAT,
    "webdataset": webdataset.FORMAT,
    "jsonl": jsonl.FORMAT,
    "npz": npz.FORMAT,
    "megatron": megatron.FORMAT,
}
