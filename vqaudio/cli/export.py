"""The commands of shards: export, verify, and detokenize of what they wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from vqaudio.cli.jobs import STDIO, refuse_to_overwrite, report, say
from vqaudio.cli.options import Device, DeviceOption, ForceOption, LevelsOption, ModelOption
from vqaudio.errors import VqaudioError


class ShardFormat(str, Enum):
    """Formats of shards."""

    parquet = "parquet"
    webdataset = "webdataset"
    jsonl = "jsonl"
    npz = "npz"
    megatron = "megatron"


def export(
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="Folder of recordings or manifest, here or s3://..."),
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder for the shards, or s3://...")],
    model: ModelOption = None,
    format_: Annotated[
        ShardFormat, typer.Option("--format", help="Of the shards.")
    ] = ShardFormat.parquet,
    pattern: Annotated[
        str | None,
        typer.Option(
            "--pattern",
            help="Ids for a language model in place of codes: parallel, delay, flatten or "
            "coarse-first.",
        ),
    ] = None,
    levels: LevelsOption = None,
    corpus: Annotated[
        str | None, typer.Option("--corpus", help="DATA is the root of this corpus.")
    ] = None,
    splits: Annotated[
        list[str] | None, typer.Option("--split", help="Of the corpus, repeatable; all without it.")
    ] = None,
    shard_hours: Annotated[
        float, typer.Option("--shard-hours", min=0.0, help="Hours of sound in a shard, about.")
    ] = 1.0,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes, each with one thread.")
    ] = 1,
    ray: Annotated[
        str | None,
        typer.Option("--ray", metavar="ADDRESS", help="Ray cluster: HOST:PORT, auto or local."),
    ] = None,
    ray_actors: Annotated[
        int | None,
        typer.Option("--ray-actors", min=1, help="At the most; one per GPU or core without it."),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Make shards with unreadable recordings again.")
    ] = False,
    device: DeviceOption = Device.auto,
    force: ForceOption = False,
) -> None:
    """Bring the tokens of a corpus into shards; the same command again goes on if stopped."""
    from vqaudio.export import Order, in_processes, in_this_process
    from vqaudio.export import export as run
    from vqaudio.export.ray import on_ray

    order = Order(
        data=data,
        out=out,
        model=model,
        format=format_.value,
        pattern=pattern,
        levels=levels,
        corpus=corpus,
        splits=tuple(splits or ()),
        shard_hours=shard_hours,
        device=device.value,
    )
    if ray is not None and workers != 1:
        raise typer.BadParameter("give --workers or --ray: both say who does the work")
    if ray is None and ray_actors is not None:
        raise typer.BadParameter("--ray-actors belongs to --ray")
    executor = in_this_process if workers == 1 else in_processes(workers)
    if ray is not None:
        executor = on_ray(ray, actors=ray_actors)
    with _bar("export", "s of sound") as progress:
        index = run(order, executor=executor, progress=progress, force=force, retry=retry)
    say(
        f"{out}: {index.rows} recordings, {index.seconds / 3600:.2f} hours in "
        f"{len(index.shards)} shards of {order.format}"
    )
    if index.unreadable:
        first = index.unreadable[0]
        report(
            VqaudioError(
                f"{len(index.unreadable)} recordings cannot be read and are listed in "
                f"{out}/unreadable.jsonl: {first.id}: {first.reason}"
            )
        )


def verify(
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder of an export, or s3://...")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read a whole export again: hashes, rows, lengths, codes."""
    from vqaudio.export import verify as run

    with _bar("verify", "shards") as progress:
        found = run(out, progress=progress)
    if as_json:
        say(json.dumps(asdict(found), indent=2))
    elif not found.faults:
        say(
            f"{out}: {found.shards} shards, {found.rows} recordings, "
            f"{found.seconds / 3600:.2f} hours, all as they were written"
        )
    for fault in found.faults:
        report(VqaudioError(fault))
    if found.faults:
        raise typer.Exit(1)


def detokenize_export(
    sources: Sequence[Path], out: Path | None, *, model: str | None, device: Device, force: bool
) -> None:
    """Turn the rows of exports, or of some of their shards, into sound files below `out`.

    Raises VqaudioError without a folder to write to, and when an export cannot be read.
    """
    from vqaudio.audio import AUDIO_SUFFIXES
    from vqaudio.export import read_export
    from vqaudio.export.formats.keys import to_path
    from vqaudio.tokenizer import load

    if out is None or out == STDIO or out.is_file():
        raise VqaudioError(f"{sources[0]} holds many recordings: give a folder with --out")
    tokenizer = load(model, device=device.value)
    failed = 0
    taken: set[Path] = set()
    for row in chain.from_iterable(map(read_export, sources)):
        path = Path(to_path(row.id))
        stem = path.with_suffix("") if path.suffix.lower() in AUDIO_SUFFIXES else path
        target = out / f"{stem}.wav"
        if target in taken:  # a.flac beside a.mp3
            target = out / f"{path}.wav"
        taken.add(target)
        try:
            refuse_to_overwrite(target, force=force)
            tokenizer.decode_file(row.tokens, target)
        except VqaudioError as error:
            failed += 1
            report(error)
        else:
            say(f"{row.id} -> {target}: {row.tokens.seconds:.2f} s")
    if failed:
        raise typer.Exit(1)


@contextmanager
def _bar(verb: str, unit: str) -> Iterator[Callable[[float, float], None]]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} " + unit),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task(verb, total=1.0)
        yield lambda done, total: progress.update(task, completed=done, total=total)
