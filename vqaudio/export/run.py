"""`export`: recordings to shards, from top to bottom; what was stopped goes on."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from threading import Thread
from typing import NamedTuple

from vqaudio.errors import AudioError, VqaudioError
from vqaudio.export.formats import FORMATS
from vqaudio.export.header import Header
from vqaudio.export.index import Index, remove_index, write_index
from vqaudio.export.listing import find_sounds
from vqaudio.export.plan import PLAN, Plan, differences, make_plan, read_plan
from vqaudio.export.shard import Task, export_shard, load_once
from vqaudio.export.sound import Listing
from vqaudio.export.storage import Folder, open_folder
from vqaudio.export.summary import Summary, read_summary

QUESTIONS_AT_ONCE = 16
"""Manifests that are asked for at once; in a store each is mostly waited for."""

Advance = Callable[[float], None]
"""Told of so many seconds of sound more that are done."""
Executor = Callable[[Iterable[Task], Advance], Iterator[Summary]]
"""Does tasks by `export_shard`, wherever, and gives what they came to in any order."""
Progress = Callable[[float, float], None]
"""Told how many seconds of sound are done, and of how many."""


class Order(NamedTuple):
    """What is to be exported, where to, and how."""

    data: str
    """Folder or manifest, or the root of a corpus; a path or an address."""
    out: str
    """Folder, or an address."""
    model: str | None = None
    """File or name; the bundled one without it."""
    format: str = "parquet"
    """Of FORMATS."""
    pattern: str | None = None
    """Of PATTERNS; plain codes without it."""
    levels: int | None = None
    """Codebooks, the first ones; all without it."""
    corpus: str | None = None
    """Of CORPORA, with `data` for its root."""
    splits: tuple[str, ...] = ()
    """Of the corpus; all without them."""
    shard_hours: float = 1.0
    """Of sound in a shard, about."""
    device: str = "auto"


def export(
    order: Order,
    *,
    executor: Executor | None = None,
    progress: Progress = lambda done, total: None,
    force: bool = False,
    retry: bool = False,
) -> Index:
    """Bring the tokens of all recordings into shards; complete ones are left as they are.

    A recording that cannot be read is left out and named; with `retry` its shard is made again.
    `force` starts anew where the folder holds another export, and removes that. The result depends
    on the order and the recordings alone, not on the executor, and not on how often it was stopped.

    Raises VqaudioError, its children for data or a model that is none, and when no recording can
    be read.
    """
    executor = executor or in_this_process
    if not 0 <= order.shard_hours < math.inf:
        raise VqaudioError(f"{order.shard_hours} hours are no length of a shard: give 0 or more")
    if order.format not in FORMATS:
        raise VqaudioError(f"no format {order.format!r}: choose from {', '.join(FORMATS)}")
    header = _header(order)
    FORMATS[order.format].check(header)
    listing = find_sounds(order.data, corpus=order.corpus, splits=order.splits)
    plan = make_plan(listing.sounds, header, format=order.format, shard_hours=order.shard_hours)
    folder = open_folder(order.out)
    with folder.hold():
        _settle(folder, plan, force=force)
        summaries = _complete(folder, plan, retry=retry)
        if len(summaries) < len(plan.shards):
            remove_index(folder)
        tasks = _tasks(order, plan, listing, summaries)
        finished = sum(
            sound.seconds
            for name, (start, stop) in zip(plan.names, plan.shards, strict=True)
            if name in summaries
            for sound in listing.sounds[start:stop]
        )

        def advance(seconds: float) -> None:
            nonlocal finished
            finished += seconds
            progress(finished, plan.seconds)

        advance(0.0)
        for summary in executor(tasks, advance):
            summaries[summary.shard] = summary
        index = Index(plan, tuple(summaries[name] for name in plan.names), listing.unreadable)
        write_index(folder, index)
    if not index.rows:
        raise AudioError(f"no file of {order.data} can be read: {index.unreadable[0].reason}")
    return index


def in_this_process(tasks: Iterable[Task], advance: Advance) -> Iterator[Summary]:
    """The `Executor` of one process."""
    for task in tasks:
        yield export_shard(task, advance)


def in_processes(workers: int) -> Executor:
    """An `Executor` of several processes on this machine."""

    def execute(tasks: Iterable[Task], advance: Advance) -> Iterator[Summary]:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        jobs = (delayed(_export_counted)(task, os.getpid()) for task in tasks)
        parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)
        try:
            for summary, seconds in parallel(jobs):
                advance(seconds)
                yield summary
        except TerminatedWorkerError:
            raise VqaudioError(
                "a worker was killed, perhaps for want of memory: the same command goes on from "
                "there, with fewer --workers if need be"
            ) from None

    return execute


def _export_counted(task: Task, parent: int) -> tuple[Summary, float]:
    _end_with(parent)
    return export_shard(task), task.seconds


@cache
def _end_with(parent: int) -> None:
    """End this process when its parent is killed, which alone keeps others from the folder."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _header(order: Order) -> Header:
    tokenizer = load_once(order.model, order.device)
    codec = tokenizer.codec
    levels = len(codec.codebook_sizes) if order.levels is None else order.levels
    tokenizer.check_levels(levels)
    return Header(
        model=tokenizer.fingerprint,
        sample_rate=tokenizer.sample_rate,
        hop_length=codec.hop_length,
        codebook_sizes=tuple(codec.codebook_sizes[:levels]),
        pattern=order.pattern,
    )


def _settle(folder: Folder, plan: Plan, *, force: bool) -> None:
    """Write the plan, or make sure that it is the one that is there.

    Raises VqaudioError when another is, unless `force`, which removes what belongs to it, and
    when files of others are there, which might have the names of those to come.
    """
    there = read_plan(folder)
    if there == plan:
        return
    if there is None:
        if names := folder.names():
            raise VqaudioError(
                f"{folder.address} holds other files ({', '.join(names[:3])}): name a folder that "
                "is empty, or not there yet"
            )
    else:
        if not force:
            raise VqaudioError(
                f"{folder.address} holds another export ({'; '.join(differences(there, plan))}): "
                "name another folder, or --force to replace it"
            )
        _remove(folder, there)
    folder.write(PLAN, plan.to_json())


def _remove(folder: Folder, plan: Plan) -> None:
    """All that belongs to an export and nothing else; its plan last, so that this may be stopped.

    Of a shard without a manifest there may be files as well: a kill came between them and it.
    """
    remove_index(folder)
    shards = set(plan.names)
    own = [name for name in folder.names() if name.partition(".")[0] in shards]
    form = FORMATS[plan.format]
    for name in own:
        if name.endswith(form.suffix):
            with folder.local([name]) as local, suppress(ValueError, KeyError, TypeError, OSError):
                for other in form.others(local / name):
                    folder.remove(other)
        folder.remove(name)
    folder.remove(PLAN)


def _complete(folder: Folder, plan: Plan, *, retry: bool) -> dict[str, Summary]:
    """By name, the shards that need not be made."""
    with ThreadPoolExecutor(QUESTIONS_AT_ONCE) as pool:
        found = pool.map(lambda name: read_summary(folder, name), plan.names)
        return {
            summary.shard: summary
            for summary in found
            # Where nothing could be read, the disk or the store may have been away.
            if summary is not None and summary.rows and not (retry and summary.unreadable)
        }


def _tasks(
    order: Order, plan: Plan, listing: Listing, complete: dict[str, Summary]
) -> Iterator[Task]:
    """Of the shards that are missing."""
    missing = [
        pair for pair in zip(plan.names, plan.shards, strict=True) if pair[0] not in complete
    ]
    for name, (start, stop) in missing:
        yield Task(
            shard=name,
            out=order.out,
            format=plan.format,
            header=plan.header,
            sounds=listing.sounds[start:stop],
            model=order.model,
            device=order.device,
        )
