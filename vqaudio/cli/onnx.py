"""ONNX: `export-onnx`, and the tokenizer without torch for the commands that take `--runtime`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqaudio.cli.jobs import say
from vqaudio.cli.options import Device, ForceOption
from vqaudio.errors import ModelError

if TYPE_CHECKING:
    from vqaudio.onnx.runtime import OnnxTokenizer
    from vqaudio.tokenizer import Tokenizer


class Runtime(str, Enum):
    """What computes."""

    torch = "torch"
    onnx = "onnx"


RuntimeOption = Annotated[
    Runtime, typer.Option("--runtime", help="onnx: MODEL is a folder of export-onnx; no torch.")
]


def load_for(runtime: Runtime, model: str | None, device: Device) -> Tokenizer | OnnxTokenizer:
    """The tokenizer that --runtime, --model and --device mean.

    Raises ModelError when there is no such model or device.
    """
    if runtime is Runtime.torch:
        return load_torch(model, device)
    from vqaudio.onnx.runtime import OnnxTokenizer

    if model is None:
        raise ModelError("--runtime onnx needs --model with a folder of vqaudio export-onnx")
    if device is Device.cuda:
        raise ModelError("--runtime onnx computes on the CPU: choose --device cpu")
    return OnnxTokenizer(model)


def load_live(runtime: Runtime, model: str | None, device: Device) -> Tokenizer:
    """The tokenizer of a pipe to a pipe; raises ModelError for one without torch."""
    if runtime is Runtime.onnx:
        raise ModelError("--runtime onnx writes no .vqs stream: add --format npz, or leave it out")
    return load_torch(model, device)


def load_torch(model: str | None, device: Device) -> Tokenizer:
    """The tokenizer that --model and --device mean; raises ModelError as `load_for`."""
    from vqaudio.tokenizer import load

    return load(model, device=device.value)


def export_onnx(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Model file, or name of a bundled model.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the graphs.")],
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            metavar="DIR",
            help="Recordings to compare with torch on; 14 s of speech in the box without it.",
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write a model as ONNX graphs, whole and for streams, and check them against torch."""
    from vqaudio.checkpoint import find_model
    from vqaudio.onnx.exporting import export_onnx as run

    found = run(find_model(model), folder, speech=check, force=force, progress=say)
    say("\n".join([*found.lines(), f"{folder}: four graphs and model.json"]))
