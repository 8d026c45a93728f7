"""Tokens wherever they lie: an export, one of its shards, a token file, or a folder of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vqaudio.errors import TokensError
from vqaudio.export.reading import is_export, is_shard, read_export
from vqaudio.export.row import Row
from vqaudio.tokens import Tokens, find_token_files


def read_rows(source: Path, *, levels: int | None = None) -> Iterator[Row]:
    """All tokens at `source` in their order, one sound at a time, all of one model and alike.

    Of token files nobody knows more than the speaker, who is named by the first sub-folder, as in a
    folder of recordings. `levels` takes the first so many codebooks.

    Raises TokensError where there are no tokens or they are damaged, where they are of several
    models or have unequal levels, and where they have fewer levels.
    """
    first: Row | None = None
    for row in _read(source):
        if levels is not None:
            row = replace(row, tokens=row.tokens.first(levels))
        if first is None:
            first = row
        a, b = first.tokens, row.tokens
        if (a.model, a.codebook_sizes) != (b.model, b.codebook_sizes):
            raise TokensError(
                f"{source} holds tokens of several kinds: {row.id} has {b.num_codebooks} levels of "
                f"model {b.model}, {first.id} has {a.num_codebooks} of model {a.model}; take those "
                "of one model, and as many levels"
            )
        yield row
    if first is None:
        raise TokensError(f"{source} holds no tokens: name an export, or a folder of token files")


def holds_rows(source: Path) -> bool:
    """Whether it is an export or one of its shards, rather than token files."""
    return is_export(source) or (is_shard(source) and source.is_file())


def _read(source: Path) -> Iterator[Row]:
    if holds_rows(source):
        yield from read_export(source)
        return
    is_folder = source.is_dir()
    for path in find_token_files(source) if is_folder else [source]:
        inner = path.relative_to(source) if is_folder else Path(path.name)
        speaker = inner.parts[0] if len(inner.parts) > 1 else None
        name = inner.as_posix()
        yield Row(name, Tokens.load(path), path=name, sha256="", speaker=speaker)
