"""From an evaluation to what its plots and tables show: order, families, points."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from vqaudio.evaluate.results import Evaluation, Figure, MetricResult, SystemResult

FIRST = ("pesq_wb", "stoi", "speaker_similarity", "mel_distance")
"""The metrics that tell most, by name; the others follow in the order of the evaluation."""
UNPROCESSED = ("original", "unprocessed")
"""Families of the recording as it is: a line to compare with, not a point."""


class Point(NamedTuple):
    """One system in one plot."""

    system: SystemResult
    kbits: float
    """kbit/s."""
    mean: float
    low: float
    """As mean, where there is no interval."""
    high: float


class Curve(NamedTuple):
    """A family, by bitrate."""

    family: str
    points: tuple[Point, ...]


def measured_metrics(evaluation: Evaluation) -> list[MetricResult]:
    """Those that are not skipped, the most telling first."""
    found = [metric for metric in evaluation.metrics if metric.status == "ok"]
    places = {name: place for place, name in enumerate(FIRST)}
    return sorted(found, key=lambda metric: places.get(metric.name, len(FIRST)))


def by_bitrate(evaluation: Evaluation) -> list[SystemResult]:
    """Those that are not skipped, the lowest first, those without a bitrate last."""
    found = [system for system in evaluation.systems if system.status != "skipped"]
    return sorted(found, key=lambda s: math.inf if s.bitrate is None else s.bitrate)


def skipped(evaluation: Evaluation) -> list[SystemResult]:
    """What could not be measured, in the order of the evaluation."""
    return [system for system in evaluation.systems if system.status == "skipped"]


def is_own(evaluation: Evaluation, system: SystemResult) -> bool:
    """Whether it is the evaluated model, at any bitrate: its name is MODEL@BITRATE."""
    model = evaluation.model.get("name")
    return isinstance(model, str) and system.name.rpartition("@")[0] == model


def own_family(evaluation: Evaluation) -> str | None:
    """The curve of the evaluated model."""
    families = (system.family for system in evaluation.systems if is_own(evaluation, system))
    return next(families, None)


def is_line(system: SystemResult) -> bool:
    """Whether it stands beside all bitrates: the recording itself, or what has no bitrate."""
    return system.family.lower() in UNPROCESSED or not (system.bitrate or 0) > 0


def families(evaluation: Evaluation) -> list[str]:
    """Those that have points, in the order of the evaluation, the evaluated model's first."""
    drawn = [s.family for s in evaluation.systems if s.status != "skipped" and not is_line(s)]
    own = own_family(evaluation)
    return sorted(dict.fromkeys(drawn), key=lambda family: family != own)


def curves(evaluation: Evaluation, metric: str) -> list[Curve]:
    """What is drawn as points, in the order of `families`; without those that have no value."""
    found: dict[str, list[Point]] = {family: [] for family in families(evaluation)}
    for system in by_bitrate(evaluation):
        figure = figure_of(system, metric)
        mean = finite(figure.mean)
        if mean is None or system.bitrate is None or is_line(system):
            continue
        ends = [end for end in (figure.low, figure.high) if end is not None and math.isfinite(end)]
        point = Point(system, system.bitrate / 1000, mean, min([mean, *ends]), max([mean, *ends]))
        found[system.family].append(point)
    return [Curve(family, tuple(points)) for family, points in found.items() if points]


def level_lines(evaluation: Evaluation, metric: str) -> list[tuple[str, float]]:
    """What is drawn as horizontal lines: label and mean."""
    lines = []
    for system in by_bitrate(evaluation):
        mean = finite(figure_of(system, metric).mean)
        if is_line(system) and mean is not None:
            lines.append((system.label, mean))
    return lines


NO_FIGURE = Figure(mean=None, low=None, high=None, count=0)


def figure_of(system: SystemResult, metric: str) -> Figure:
    """Without a value where the system has none."""
    return system.metrics.get(metric, NO_FIGURE)


def finite(value: float | None) -> float | None:
    """None for what cannot be drawn."""
    return value if value is not None and math.isfinite(value) else None


def decimals_of(figures: Iterable[Figure]) -> int:
    """As many digits behind the point as the intervals of a column are worth.

    A typical half interval is at least two units of the last digit; 0 to 3 digits.

    >>> decimals_of([Figure(mean=3.4211, low=3.37, high=3.47, count=30)])
    2
    """
    figures = list(figures)
    halves = sorted(
        (figure.high - figure.low) / 2
        for figure in figures
        if figure.low is not None and figure.high is not None and figure.high > figure.low
    )
    if halves:
        step = halves[len(halves) // 2] / 2
    else:  # three digits of the largest
        means = [abs(figure.mean) for figure in figures if figure.mean is not None]
        step = max(means, default=1.0) / 100
    step = step if math.isfinite(step) and step > 0 else 1.0
    return min(max(math.ceil(-math.log10(step)), 0), 3)
