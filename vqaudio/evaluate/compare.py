"""`compare`: is one system better than another, on the same recordings?"""

from __future__ import annotations

from collections.abc import Sequence

from vqaudio.codec.config import Config
from vqaudio.errors import VqaudioError
from vqaudio.evaluate.results import Evaluation, Figure, FileResult, MetricResult, to_figure
from vqaudio.metrics import bootstrap_interval


class Difference(Config):
    """A metric of system a less that of system b, over the files where both have a value."""

    metric: MetricResult
    a: Figure
    b: Figure
    difference: Figure
    a_better: int
    """Files on which a is ahead; on the others b is, or they are level."""
    b_better: int

    @property
    def verdict(self) -> str:
        """a or b where the interval leaves no other answer, else open."""
        low, high = self.difference.low, self.difference.high
        if low is None or high is None or low <= 0 <= high:
            return "open"
        return "a" if (low > 0) == (self.metric.direction == "higher") else "b"


def differences(evaluation: Evaluation, a: str, b: str) -> list[Difference]:
    """The paired differences of two systems of one evaluation, metric by metric.

    Files are what is redrawn, each with both of its scores: what makes a file hard is taken out.

    Raises VqaudioError for a system that the evaluation has no figures of.
    """
    rows = [_rows_of(evaluation, name) for name in (a, b)]
    found = []
    for metric in evaluation.metrics:
        if metric.status != "ok":
            continue
        pairs = _pairs(metric.name, *rows)
        gains = [first - second for first, second in pairs]
        sign = 1 if metric.direction == "higher" else -1
        found.append(
            Difference(
                metric=metric,
                a=to_figure(bootstrap_interval([first for first, _ in pairs]), len(pairs)),
                b=to_figure(bootstrap_interval([second for _, second in pairs]), len(pairs)),
                difference=to_figure(bootstrap_interval(gains), len(pairs)),
                a_better=sum(sign * gain > 0 for gain in gains),
                b_better=sum(sign * gain < 0 for gain in gains),
            )
        )
    return found


def difference_lines(found: Sequence[Difference], a: str, b: str) -> list[str]:
    """For the terminal: a metric a line, after a heading."""
    texts = [f"a: {a}", f"b: {b}", "means over files, 95 % intervals of the paired difference"]
    for one in found:
        better = {"a": "a is better", "b": "b is better", "open": "no difference shown"}
        arrow = {"higher": "higher is better", "lower": "lower is better"}
        hint = arrow.get(one.metric.direction, "")
        unit = f" {one.metric.unit}" if one.metric.unit else ""
        texts.append(
            f"{one.metric.label} ({hint}): a {_number(one.a.mean)}, b {_number(one.b.mean)}{unit}; "
            f"a - b {_number(one.difference.mean)} ({_number(one.difference.low)} to "
            f"{_number(one.difference.high)}); a ahead on {one.a_better}, b on {one.b_better} of "
            f"{one.difference.count} files: {better[one.verdict]}"
        )
    return texts


def _rows_of(evaluation: Evaluation, name: str) -> dict[str, FileResult]:
    rows = {row.file: row for row in evaluation.files if row.system == name}
    if not rows:
        reason = next((s.reason for s in evaluation.systems if s.name == name), "not measured")
        raise VqaudioError(f"there are no figures of {name}: {reason}")
    return rows


def _pairs(
    metric: str, first: dict[str, FileResult], second: dict[str, FileResult]
) -> list[tuple[float, float]]:
    pairs = []
    for file, row in first.items():
        a, b = row.scores.get(metric), second[file].scores.get(metric)
        if a is not None and b is not None:
            pairs.append((a, b))
    return pairs


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
