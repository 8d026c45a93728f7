"""What a probe found, as plain values, as lines of text and as facts for JSON."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from vqaudio.metrics import Interval


class Score(NamedTuple):
    """How often one kind of probe was right about what it had not learned from."""

    representation: str
    """tokens or log-mel."""
    head: str
    """linear or conv."""
    accuracy: Interval
    """0 to 1, higher is better: the mean over seeds and over what `ProbeResult.unit` names, with
    its 95 % interval over the latter."""
    seeds: tuple[float, ...]
    """The same of each seed alone: how far it is luck."""


class ProbeResult(NamedTuple):
    """A task, the floor under it, and what probes reached."""

    task: str
    about: str
    encoder: str
    """What made the tokens, in its own words."""
    num_levels: int
    frame_rate: float
    """Frames per second."""
    num_recordings: int
    num_speakers: int
    num_classes: int
    num_folds: int
    num_train: int
    """Recordings that a probe learns from, the mean over folds."""
    num_test: int
    """Recordings that are tested, of all folds."""
    unit: str
    """speakers or recordings: what accuracies are means and intervals over."""
    num_units: int
    chance: float
    """Accuracy of the best answer that is always the same, 0 to 1."""
    scores: tuple[Score, ...]
    seconds: float
    """Wall time of everything."""

    def score(self, representation: str, head: str) -> Score:
        """Raises KeyError when there is none."""
        for score in self.scores:
            if (score.representation, score.head) == (representation, head):
                return score
        raise KeyError((representation, head))


def facts(result: ProbeResult) -> dict[str, Any]:
    """As JSON may hold it: an interval that there is not is null."""
    rows = [
        {
            "representation": score.representation,
            "head": score.head,
            "accuracy": _number(score.accuracy.mean),
            "low": _number(score.accuracy.low),
            "high": _number(score.accuracy.high),
            "seeds": list(score.seeds),
        }
        for score in result.scores
    ]
    return {**result._asdict(), "scores": rows}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def lines(result: ProbeResult) -> list[str]:
    """The task, then one line a probe; accuracies in percent."""
    folds = f", {result.num_folds} folds" if result.num_folds > 1 else ""
    levels = f"{result.num_levels} level{'s' * (result.num_levels > 1)}"
    return [
        f"{result.task}: {result.about}",
        f"{result.encoder}, {levels}, {result.frame_rate:g} frames/s",
        f"{result.num_recordings} recordings of {result.num_speakers} speakers, "
        f"{result.num_classes} classes{folds}: {result.num_train} to learn from, {result.num_test} "
        f"tested, means over {result.num_units} {result.unit}",
        f"{'always the same answer':<24}{100 * result.chance:5.1f} %",
        *(
            f"{f'{score.representation}, {score.head}':<24}{100 * score.accuracy.mean:5.1f} %"
            f"{_limits(score.accuracy)}, seeds {', '.join(f'{100 * x:.1f}' for x in score.seeds)}"
            for score in result.scores
        ),
        f"{result.seconds:.0f} s",
    ]


def _limits(accuracy: Interval) -> str:
    """In percent; nothing where there are too few units to say."""
    if math.isnan(accuracy.low):
        return ""
    return f" ({100 * accuracy.low:.1f} to {100 * accuracy.high:.1f})"
