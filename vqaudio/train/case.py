"""A run as its log shows it.

The figures of a line are those of one step and scatter: trends are told from medians over several
lines, and only within a stage, because the next one has losses of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any, Literal, NamedTuple

from vqaudio.recipe import Recipe
from vqaudio.recipe.config import StageSpan

Line = dict[str, Any]
"""Of log.jsonl: "step", "kind", and figures by name."""

RECENT = 20
"""Lines that say how a run stands; a trend needs as many before them."""
LAST = 5
"""Lines that say so where waiting is dear: when a run falls apart."""


class Finding(NamedTuple):
    """Something about a run."""

    severity: Literal["error", "warning", "note"]
    """error: the run is lost unless something changes; warning: it costs quality or time; note: all
    the same good to know."""
    what: str
    advice: str
    """What to do, in the recipe's words."""


class Case(NamedTuple):
    """A run as its log shows it; lines in their order."""

    recipe: Recipe
    training: list[Line]
    """Of the stage that the last line is in."""
    validation: list[Line]
    """Of the same stage."""
    skipped: float
    """Steps without a finite gradient, of the whole run."""
    books: list[Line]
    """Usage while training, of the whole run."""
    held_out_books: list[Line]
    """Usage on held-out speech, of the whole run."""
    steps: int
    """Steps that the log tells of."""
    validated: bool
    place: int
    stage: StageSpan

    @property
    def key(self) -> str:
        """The stage's place in the recipe, as after --set."""
        return f"stages.{self.place}"


def of_kind(lines: Sequence[Line], kind: str) -> list[Line]:
    return [line for line in lines if line.get("kind") == kind]


def case_of(lines: Sequence[Line], recipe: Recipe) -> Case:
    last = max(line["step"] for line in lines)
    schedule = recipe.schedule()
    place = next((i for i, span in enumerate(schedule) if last < span.end), len(schedule) - 1)
    span = schedule[place]
    training, validation = of_kind(lines, "train"), of_kind(lines, "validation")
    return Case(
        recipe,
        [line for line in training if line["step"] >= span.begin],
        [line for line in validation if line["step"] >= span.begin],
        sum(line.get("skipped", 0) for line in training),
        training,
        of_kind(lines, "codebooks"),
        last + 1,
        bool(validation),
        place,
        span,
    )


def figures(lines: Sequence[Line], name: str) -> list[float]:
    """Those that are numbers."""
    return [line[name] for line in lines if math.isfinite(line.get(name, math.nan))]


class Trend(NamedTuple):
    before: float
    now: float


def trend_of(lines: Sequence[Line], name: str, recent: int = RECENT) -> Trend | None:
    """The medians of the `recent` last lines and of all before; None where that is too little."""
    values = figures(lines, name)
    if len(values) < RECENT + recent:
        return None
    return Trend(median(values[:-recent]), median(values[-recent:]))
