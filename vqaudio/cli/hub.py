"""Commands for the hub of Hugging Face: push, card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqaudio.cli.jobs import say

if TYPE_CHECKING:
    from vqaudio.evaluate import Evaluation

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Model file, run folder or name.")]
Repository = Annotated[
    str, typer.Argument(metavar="USER/MODEL", help="Repository on the hub of Hugging Face.")
]
EvaluationOption = Annotated[
    Path | None,
    typer.Option("--evaluation", help="report.json of vqaudio evaluate, for the card."),
]
LicenceOption = Annotated[
    str | None,
    typer.Option("--licence", help="By its name on the hub; that of the model file without it."),
]


def push(
    model: Model,
    repository: Repository,
    private: Annotated[bool, typer.Option("--private", help="For your eyes only.")] = False,
    evaluation: EvaluationOption = None,
    licence: LicenceOption = None,
) -> None:
    """Put a model and its card on the hub; vqaudio.load("USER/MODEL") finds it there."""
    from vqaudio.publish import push as push_model

    found = _read(evaluation)
    where = push_model(model, repository, private=private, evaluation=found, licence=licence)
    say(f"{model} -> {where}")


def card(
    model: Model,
    repository: Repository,
    evaluation: EvaluationOption = None,
    licence: LicenceOption = None,
) -> None:
    """Print the card that push would write, without a network."""
    from vqaudio.checkpoint import find_model
    from vqaudio.publish import model_card

    found = _read(evaluation)
    text = model_card(find_model(model), repository, evaluation=found, licence=licence)
    say(text.removesuffix("\n"))


def _read(path: Path | None) -> Evaluation | None:
    if path is None:
        return None
    from vqaudio.report.writing import read_evaluation

    return read_evaluation(path)
