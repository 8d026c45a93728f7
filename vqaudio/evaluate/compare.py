"""`compare`: is one system better than another, on the same recordings?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from vqaudio.codec.config import Config
from vqaudio.errors import VqaudioError
from vqaudio.evaluate.measuring import WORD_ERROR_RATE
from vqaudio.evaluate.results import Evaluation, Figure, FileResult, MetricResult, to_figure
from vqaudio.evaluate.summary import figure_of
from vqaudio.metrics import bootstrap_ratio, paired_difference


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
    def verdict(self) -> Literal["a", "b", "open"]:
        """a or b where the interval leaves no other answer, else open."""
        low, high = self.difference.low, self.difference.high
        if low is None or high is None or low <= 0 <= high:
            return "open"
        return "a" if (low > 0) == (self.metric.direction == "higher") else "b"


def differences(evaluation: Evaluation, a: str, b: str) -> list[Difference]:
    """The paired differences of two systems of one evaluation, for each metric that there is.

    Files are what is redrawn, each with both of its scores: what makes a file hard is taken out.

    Raises VqaudioError for a system that the evaluation has no figures of.
    """
    rows = _rows_of(evaluation, a), _rows_of(evaluation, b)
    return [
        _difference(metric, *_paired(metric.name, *rows))
        for metric in evaluation.metrics
        if metric.status == "ok"
    ]


def _difference(
    metric: MetricResult, first: list[FileResult], second: list[FileResult]
) -> Difference:
    a = [row.scores[metric.name] or 0.0 for row in first]
    b = [row.scores[metric.name] or 0.0 for row in second]
    gains = [x - y for x, y in zip(a, b, strict=True)]
    if metric.name == WORD_ERROR_RATE:  # of all words together, as `evaluate` has it
        words = [row.words for row in first]
        interval = bootstrap_ratio([g * n for g, n in zip(gains, words, strict=True)], words)
    else:
        interval = paired_difference(a, b)
    sign = 1 if metric.direction == "higher" else -1
    return Difference(
        metric=metric,
        a=figure_of(metric.name, first),
        b=figure_of(metric.name, second),
        difference=to_figure(interval, len(gains)),
        a_better=sum(sign * gain > 0 for gain in gains),
        b_better=sum(sign * gain < 0 for gain in gains),
    )


def difference_lines(evaluation: Evaluation, a: str, b: str) -> list[str]:
    """For the terminal: a metric a line, after what is compared and what speaks against it."""
    texts = [
        f"a: {a}",
        f"b: {b}",
        f"{evaluation.num_files} files at {evaluation.sample_rate} Hz; means, and 95 % intervals "
        "of the paired difference",
        *(
            f"{row.name} is suspicious: {row.reason}"
            for row in evaluation.systems
            if row.status == "suspicious"
        ),
    ]
    for one in differences(evaluation, a, b):
        unit = f" {one.metric.unit}" if one.metric.unit else ""
        limits = (_number(one.difference.low), _number(one.difference.high))
        texts.append(
            f"{one.metric.label} ({one.metric.direction} is better): a {_number(one.a.mean)}, "
            f"b {_number(one.b.mean)}{unit}; a - b {_number(one.difference.mean)} "
            f"({' to '.join(limits)}); a ahead on {one.a_better}, b on {one.b_better} of "
            f"{one.difference.count} files: {_answer(one)}"
        )
    texts += [f"{m.label} skipped: {m.reason}" for m in evaluation.metrics if m.status != "ok"]
    return texts


def _answer(one: Difference) -> str:
    if one.difference.low is None:
        return "too few files to say"
    return {"a": "a is better", "b": "b is better", "open": "no difference shown"}[one.verdict]


def _rows_of(evaluation: Evaluation, name: str) -> dict[str, FileResult]:
    rows = {row.file: row for row in evaluation.files if row.system == name}
    if not rows:
        reason = next((s.reason for s in evaluation.systems if s.name == name), "not measured")
        raise VqaudioError(f"there are no figures of {name}: {reason}")
    return rows


def _paired(
    metric: str, first: dict[str, FileResult], second: dict[str, FileResult]
) -> tuple[list[FileResult], list[FileResult]]:
    """The rows of both systems for the files where both have a value, in one order."""
    files: Sequence[str] = [
        file
        for file, row in first.items()
        if row.scores.get(metric) is not None and second[file].scores.get(metric) is not None
    ]
    return [first[file] for file in files], [second[file] for file in files]


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
