"""Compressed token files: which coder is meant, what it makes of them, and `count`.

What a file becomes depends on the command alone, never on what is installed: `--format vqa` packs,
`--coder static` takes the table in the box for the model, `--coder FILE` a table or a prior of the
user's own.
Reading needs no option for the first two: the file says which coder wrote it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqaudio.cli.evaluate import tell_of_faults, track
from vqaudio.cli.jobs import STDIO, Job, refuse_to_overwrite, say
from vqaudio.cli.options import Device, DeviceOption, ForceOption, ModelOption
from vqaudio.errors import AudioError, TokensError

if TYPE_CHECKING:
    from vqaudio.entropy import Coder, Frequencies
    from vqaudio.tokens import Tokens

BUNDLED = "static"

CoderOption = Annotated[
    str | None,
    typer.Option(
        "--coder",
        metavar="static | FILE",
        help="Compress .vqa: by the table in the box, one of vqaudio count, or a prior.",
    ),
]
FileCoderOption = Annotated[
    str | None,
    typer.Option(
        "--coder", metavar="FILE", help="That .vqa files were written with, if not static."
    ),
]


def find_coder(spec: str | None, model: str) -> Coder | None:
    """The coder that a user means: the table in the box for `model`, or a file.

    Raises TokensError or ModelError when it is not there.
    """
    from vqaudio.entropy import Frequencies, Static, bundled_frequencies

    if spec is None:
        return None
    if spec != BUNDLED and (os.path.isdir(spec) or spec.endswith(".safetensors")):
        from vqaudio.prior import PriorCoder, load_prior

        return PriorCoder(load_prior(Path(spec)))
    if spec != BUNDLED:
        return Static(Frequencies.load(spec))
    table = bundled_frequencies(model=model)
    if table is None:
        raise TokensError(
            f"there is no table in the box for model {model}: make one with vqaudio count, and "
            "give it with --coder FILE"
        )
    return Static(table)


def refuse_coder(spec: str | None, jobs: Sequence[Job], suffix: str) -> None:
    """Raises a usage error for a coder that no file could take."""
    if spec is not None and any(_suffix_of(job, suffix) != ".vqa" for job in jobs):
        raise typer.BadParameter("--coder compresses .vqa files: add --format vqa")


def measured(tokens: Tokens, job: Job, suffix: str, num_bytes: int) -> str:
    """Of a .vqa file of `num_bytes` the bit/s that it really takes."""
    from vqaudio.tokens.vqa import header_size

    if _suffix_of(job, suffix) != ".vqa":
        return ""
    payload = num_bytes - header_size(tokens.num_codebooks)
    rates = (8 * size / tokens.seconds for size in (payload, num_bytes))
    return ", {:.0f} bit/s of payload, {:.0f} bit/s of file".format(*rates)


def count(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Folder of recordings to train on, manifest, or token files."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Table, NAME.frequencies.npz.")],
    model: ModelOption = None,
    device: DeviceOption = Device.auto,
    force: ForceOption = False,
) -> None:
    """Count how often each code occurs: a table by which --coder compresses tokens."""
    if out.suffix.lower() != ".npz":
        raise typer.BadParameter(f"OUT must be a .npz file, not {out}")
    refuse_to_overwrite(out, force=force)
    if _holds_tokens(data):
        if model is not None:
            raise typer.BadParameter("--model is for recordings: tokens know their model")
        table = _count_tokens(data)
    else:
        table = _count_recordings(data, model, device)
    table.save(out)
    total = sum(int(level.sum()) for level in table.counts)
    say(f"{data} -> {out}: {total} codes of model {table.model}, table {table.fingerprint}")


def _count_recordings(data: Path, model: str | None, device: Device) -> Frequencies:
    from vqaudio.checkpoint import DEFAULT_MODEL
    from vqaudio.entropy import Frequencies
    from vqaudio.evaluate import measure_usage

    found = measure_usage(model or DEFAULT_MODEL, data, device=device.value, progress=track)
    tell_of_faults(found.unreadable)
    return Frequencies.of(found.counts, found.fingerprint)


def _count_tokens(source: Path) -> Frequencies:
    from vqaudio.entropy import Frequencies, count
    from vqaudio.export import read_rows

    rows = (row.tokens for row in read_rows(source))
    first = next(rows)
    totals = count(first.codes, first.codebook_sizes)
    for tokens in rows:
        for total, level in zip(totals, count(tokens.codes, first.codebook_sizes), strict=True):
            total += level
    return Frequencies.of(totals, first.model)


def _holds_tokens(data: Path) -> bool:
    """Whether it is an export, or a folder without sound that is no Kaldi manifest either."""
    from vqaudio.audio import find_audio
    from vqaudio.export import holds_rows

    if holds_rows(data):
        return True
    if not data.is_dir() or (data / "wav.scp").exists():
        return False
    try:
        find_audio(data)
    except AudioError:
        return True
    return False


def _suffix_of(job: Job, suffix: str) -> str:
    """Of the file that a job writes; `suffix` on standard output."""
    return suffix if job.target == STDIO else job.target.suffix.lower()
