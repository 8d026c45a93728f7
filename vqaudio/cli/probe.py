"""The command that asks what tokens are good for: probe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqaudio.cli.jobs import say
from vqaudio.cli.options import Device, DeviceOption, LevelsOption

if TYPE_CHECKING:
    from vqaudio.probes import Encoder


def probe(
    task: Annotated[
        str, typer.Option("--task", help="digits, speakers, languages, ocean-speakers, ...")
    ],
    root: Annotated[Path, typer.Option("--root", help="Folder that its corpus is in.")],
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="The bundled model without it.")
    ] = None,
    levels: LevelsOption = None,
    limit: Annotated[
        int | None,
        typer.Option("--files", min=1, help="So many recordings, spread evenly; all without it."),
    ] = None,
    device: DeviceOption = Device.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what small models can read from a model's tokens, and from log-mel frames."""
    from vqaudio.tokenizer import load

    tokenizer = load(model, device=device.value)
    say("\n".join(run_probe(tokenizer, task, root, levels=levels, limit=limit, as_json=as_json)))


def run_probe(
    encoder: Encoder,
    task: str,
    root: Path,
    *,
    levels: int | None,
    limit: int | None,
    as_json: bool,
) -> list[str]:
    """The result of a task, in lines of text or of JSON. Raises VqaudioError as `probes.probe`."""
    from vqaudio.probes import facts, lines
    from vqaudio.probes import probe as ask

    result = ask(encoder, task, root, levels=levels, limit=limit)
    return [json.dumps(facts(result), indent=2)] if as_json else lines(result)
