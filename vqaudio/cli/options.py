"""Options that several commands have."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer


class Device(str, Enum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


ModelOption = Annotated[
    str | None, typer.Option("--model", help="Model file, bundled name, user/model, or hf:...")
]
LevelsOption = Annotated[
    int | None, typer.Option("--levels", min=1, help="Codebooks to use; all without it.")
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
