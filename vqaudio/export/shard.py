"""One shard, from its recordings to files that have been read back: done twice, it is the same."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vqaudio.errors import VqaudioError
from vqaudio.export.fetching import hash_of
from vqaudio.export.formats import FORMATS
from vqaudio.export.header import Header
from vqaudio.export.row import Row
from vqaudio.export.sound import Sound, Unreadable
from vqaudio.export.storage import open_folder
from vqaudio.export.summary import ShardFile, Summary, manifest_of
from vqaudio.threads import one_thread

if TYPE_CHECKING:
    from vqaudio.export.encoding import Advance
    from vqaudio.tokenizer import Tokenizer


class Task(NamedTuple):
    """What it takes to make one shard; small, so that it can be sent to another machine."""

    shard: str
    """Its name."""
    out: str
    """Folder or address."""
    format: str
    header: Header
    sounds: tuple[Sound, ...]
    model: str | None
    """File or name."""
    device: str

    @property
    def seconds(self) -> float:
        return sum(sound.seconds for sound in self.sounds)


def export_shard(task: Task, advance: Advance = lambda seconds: None) -> Summary:
    """Make a shard whole: its files, and last of all the manifest that says so.

    Recordings that cannot be read are named there. The files are a function of the task alone: the
    model computes with one thread, as everywhere.

    Raises VqaudioError when the model is another one, the files cannot be written, or what is
    read back is not what was written.
    """
    from vqaudio.export.encoding import encode_sounds

    tokenizer = load_once(task.model, task.device)
    if tokenizer.fingerprint != task.header.model:
        raise VqaudioError(
            f"the model is {tokenizer.fingerprint}, and the export was begun with "
            f"{task.header.model}: give that one with --model"
        )
    with one_thread():
        results = encode_sounds(
            tokenizer,
            task.sounds,
            num_codebooks=len(task.header.codebook_sizes),
            advance=advance,
        )
    rows = [result for result in results if isinstance(result, Row)]
    unreadable = tuple(result for result in results if isinstance(result, Unreadable))
    with _explained(task.out):
        return _store(task, rows, unreadable)


def _store(task: Task, rows: Sequence[Row], unreadable: tuple[Unreadable, ...]) -> Summary:
    folder = open_folder(task.out)
    with folder.workspace(task.shard) as workspace:
        files = _write(task, rows, workspace)
        # Without its manifest the shard is incomplete: no mixture of two writings counts as one.
        folder.remove(manifest_of(task.shard))
        for file in files:
            folder.take(workspace / file.name, file.name)
    summary = Summary(
        shard=task.shard,
        files=files,
        rows=len(rows),
        seconds=sum(row.tokens.seconds for row in rows),
        frames=sum(row.tokens.num_frames for row in rows),
        unreadable=unreadable,
    )
    folder.write(manifest_of(task.shard), summary.to_json())
    return summary


def _write(task: Task, rows: Sequence[Row], workspace: Path) -> tuple[ShardFile, ...]:
    """The files of the shard below `workspace`, read back; the one that names it comes first."""
    if not rows:
        return ()
    form = FORMATS[task.format]
    main = workspace / f"{task.shard}{form.suffix}"
    form.write(main, task.header, rows)
    for row, back in zip_longest(rows, form.read(main)):
        if row != back:
            raise VqaudioError(
                f"{task.shard} does not read back as it was written (recording "
                f"{(row or back).id}): check disk and memory, then give the same command again"
            )
    paths = sorted(path for path in workspace.rglob("*") if path.is_file() and path != main)
    return tuple(
        ShardFile(
            path.relative_to(workspace).as_posix(), path.stat().st_size, hash_of(os.fspath(path))
        )
        for path in (main, *paths)
    )


@lru_cache(maxsize=1)
def load_once(model: str | None, device: str) -> Tokenizer:
    """The tokenizer, made once a process."""
    from vqaudio.tokenizer import load

    return load(model, device=device)


@contextmanager
def _explained(out: str) -> Iterator[None]:
    """A full disk, as whatever library met it says."""
    try:
        yield
    except OSError as error:
        raise VqaudioError(
            f"cannot write to {out}: {error.strerror or error}; when that is mended, the same "
            "command goes on from there"
        ) from error
