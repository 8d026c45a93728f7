"""`verify`: an export read again, all of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vqaudio.errors import VqaudioError
from vqaudio.export.fetching import hash_of
from vqaudio.export.formats import FORMATS
from vqaudio.export.index import INDEX
from vqaudio.export.plan import Plan, read_plan
from vqaudio.export.storage import Folder, open_folder
from vqaudio.export.summary import Summary, manifest_of


@dataclass(frozen=True)
class Verified:
    """What was found."""

    shards: int
    rows: int
    seconds: float
    faults: tuple[str, ...]
    """What is wrong, a sentence each; none when the export is what it was."""


def verify(
    out: str, *, progress: Callable[[float, float], None] = lambda done, total: None
) -> Verified:
    """Read every shard: hashes, rows, lengths, codes within their codebooks, one model.

    `progress` is told how many shards are done, and of how many. A shard of a store is copied
    here for it, one at a time.

    Raises VqaudioError when there is no export.
    """
    folder = open_folder(out)
    plan = read_plan(folder)
    if plan is None:
        raise VqaudioError(f"{out} holds no export: name the folder that one was written to")
    faults, rows, seconds = [], 0, 0.0
    for number, (name, (start, stop)) in enumerate(zip(plan.names, plan.shards, strict=True), 1):
        try:
            summary = _verify_shard(folder, plan, name, stop - start)
        except VqaudioError as error:
            faults.append(
                f"{name}: {error}; remove {manifest_of(name)}, give the same export command again"
            )
        else:
            rows += summary.rows
            seconds += summary.seconds
        progress(number, len(plan.shards))
    if not faults and folder.size(INDEX) is None:
        faults.append(f"{INDEX} is missing: give the same export command again")
    return Verified(len(plan.shards), rows, seconds, tuple(faults))


def _verify_shard(folder: Folder, plan: Plan, name: str, num_sounds: int) -> Summary:
    """Raises VqaudioError, saying what is wrong."""
    manifest = manifest_of(name)
    if folder.size(manifest) is None:
        raise VqaudioError("it is missing")
    summary = Summary.from_json(folder.read(manifest), manifest)
    for file in summary.files:
        size = folder.size(file.name)
        if size != file.size:
            state = "is missing" if size is None else f"has {size} of {file.size} bytes"
            raise VqaudioError(f"{file.name} {state}")
    with folder.local([file.name for file in summary.files]) as local:
        for file in summary.files:
            if hash_of(os.fspath(local / file.name)) != file.sha256:
                raise VqaudioError(f"{file.name} has been changed, its SHA-256 is another")
        rows, frames = _count(plan, summary, local)
    if (rows, frames) != (summary.rows, summary.frames):
        raise VqaudioError(f"{rows} rows of {frames} frames are there, not those of its manifest")
    if rows + len(summary.unreadable) != num_sounds:
        raise VqaudioError(f"its rows are not the {num_sounds} recordings of the plan")
    return summary


def _count(plan: Plan, summary: Summary, local: Path) -> tuple[int, int]:
    """Rows and frames; reading a row checks its lengths, and its codes against the codebooks."""
    if not summary.files:
        return 0, 0
    rows = frames = 0
    seen = set()
    form = FORMATS[plan.format]
    main = local / summary.files[0].name
    if form.header(main) != plan.header:
        raise VqaudioError("its header is not that of the plan")
    for row in form.read(main):
        tokens = row.tokens
        if (tokens.model, tokens.codebook_sizes) != (plan.header.model, plan.header.codebook_sizes):
            raise VqaudioError(f"{row.id} is of another model")
        if row.id in seen:
            raise VqaudioError(f"{row.id} is there twice")
        seen.add(row.id)
        rows += 1
        frames += tokens.num_frames
    return rows, frames
