"""Exports read: rows of any format, pattern undone, one shard after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vqaudio.errors import TokensError, VqaudioError
from vqaudio.export.formats import FORMATS, Format
from vqaudio.export.formats.lines import read_format
from vqaudio.export.header import Header
from vqaudio.export.plan import PLAN, read_plan
from vqaudio.export.row import Row
from vqaudio.export.storage import Folder, is_remote, open_folder
from vqaudio.export.summary import Summary, manifest_of, read_summary

SUFFIXES = {
    ".parquet": FORMATS["parquet"],
    ".tar": FORMATS["webdataset"],
    ".idx": FORMATS["megatron"],
    ".bin": FORMATS["megatron"],
}


def read_export(source: str | Path) -> Iterator[Row]:
    """The rows of an export, or of one of its shards, in the order of the recordings.

    `source` is a folder, the file that names a shard, or the address of either. Memory does not
    grow with the number of rows.

    Raises TokensError when a shard is damaged, VqaudioError when the export is not complete.
    """
    address = str(source)
    if not is_export(address):
        yield from _read_shard(address)
        return
    folder = open_folder(address)
    plan = read_plan(folder)
    assert plan is not None
    form = FORMATS[plan.format]
    for name in plan.names:
        summary = read_summary(folder, name)
        if summary is None:
            raise VqaudioError(
                f"{address} is not complete, {name} is missing: give the same export command again"
            )
        yield from read_shard(folder, summary, form)


def read_header(source: str | Path) -> Header:
    """Of an export, complete or not, or of one of its shards.

    Raises TokensError when it is neither.
    """
    address = str(source)
    if is_export(address):
        plan = read_plan(open_folder(address))
        assert plan is not None
        return plan.header
    folder, name = _split(address)
    with folder.local(_files(folder, name)) as local:
        return _format_of(local / name).header(local / name)


def is_export(source: str | Path) -> bool:
    """Whether a folder or address holds an export, complete or not."""
    address = str(source)
    if not is_remote(address):
        return (Path(address.removeprefix("file://")) / PLAN).is_file()
    return (
        not address.endswith((*SUFFIXES, ".jsonl")) and open_folder(address).size(PLAN) is not None
    )


def is_shard(source: str | Path) -> bool:
    """Whether the name is that of a shard's file."""
    return str(source).endswith((*SUFFIXES, ".jsonl"))


def read_shard(folder: Folder, summary: Summary, form: Format) -> Iterator[Row]:
    """The rows of a shard that is complete."""
    if summary.files:
        with folder.local([file.name for file in summary.files]) as local:
            yield from form.read(local / summary.files[0].name)


def _read_shard(address: str) -> Iterator[Row]:
    folder, name = _split(address)
    with folder.local(_files(folder, name)) as local:
        yield from _format_of(local / name).read(local / name)


def _split(address: str) -> tuple[Folder, str]:
    parent, _, name = address.removeprefix("file://").rpartition("/")
    folder = open_folder(parent or ("/" if address.startswith("/") else "."))
    if folder.size(name) is None:
        raise TokensError(f"{address} does not exist: name the folder of an export, or a shard")
    return folder, name


def _files(folder: Folder, name: str) -> list[str]:
    """The files of the shard that one of them names; a shard that was moved elsewhere is one."""
    shard = name.partition(".")[0]
    if folder.size(manifest_of(shard)) is None:
        return [name]
    summary = read_summary(folder, shard)
    if summary is None:
        raise TokensError(f"{folder.address}/{shard} is not complete: export it again")
    return [file.name for file in summary.files]


def _format_of(path: Path) -> Format:
    if path.suffix == ".jsonl":
        name = read_format(path)
        if name in FORMATS:
            return FORMATS[name]
    elif path.suffix in SUFFIXES:
        return SUFFIXES[path.suffix]
    raise TokensError(f"{path} is no shard of an export: {', '.join(SUFFIXES)} and .jsonl are")
