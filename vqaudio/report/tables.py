"""The table of systems and metrics: for the page, for the terminal, for a README, for a program."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

from vqaudio.errors import VqaudioError
from vqaudio.evaluate.results import Evaluation, Figure, MetricResult, SystemResult
from vqaudio.report.curves import (
    by_bitrate,
    decimals_of,
    figure_of,
    finite,
    is_own,
    measured_metrics,
    skipped,
)

NOTHING = "\N{EN DASH}"
"""Stands for no value."""
TERMINAL_WIDTH = 100


class Column(NamedTuple):
    """One heading."""

    label: str
    unit: str
    hint: str = ""
    """Which direction is better, in words."""


class Cell(NamedTuple):
    """One number, as it is read and as it is sorted."""

    text: str
    detail: str = ""
    """The interval."""
    value: float | None = None
    files: str = ""
    """Of how many files, where that is not all: n of N."""


class Row(NamedTuple):
    """One system."""

    system: SystemResult
    own: bool
    cells: tuple[Cell, ...]


class Table(NamedTuple):
    """Systems by bitrate; columns that nobody has a value in are left out."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def table_of(evaluation: Evaluation) -> Table:
    """Bitrates, the metrics, and what the computing took."""
    systems = by_bitrate(evaluation)
    columns = [
        (Column("Bitrate", "kbit/s"), [_kbits(system.bitrate) for system in systems]),
        (Column("Entropy", "kbit/s"), [_kbits(system.entropy_bitrate) for system in systems]),
    ]
    for metric in measured_metrics(evaluation):
        hint = f"{metric.direction} is better"
        figures = [figure_of(system, metric.name) for system in systems]
        digits = decimals_of(figures)
        cells = [_cell(figure, digits, evaluation.num_files) for figure in figures]
        columns.append((Column(metric.label, metric.unit, hint), cells))
    rate = evaluation.sample_rate
    columns += [
        (Column("Encode", "x real time"), [_speed(system.encode_speed) for system in systems]),
        (Column("Decode", "x real time"), [_speed(system.decode_speed) for system in systems]),
        (Column("Delay", "ms"), [_delay(system.delay, rate) for system in systems]),
    ]
    kept = [(column, cells) for column, cells in columns if any(c.value is not None for c in cells)]
    rows = [
        Row(system, is_own(evaluation, system), tuple(cells[place] for _, cells in kept))
        for place, system in enumerate(systems)
    ]
    return Table(tuple(column for column, _ in kept), tuple(rows))


def number(value: float | None, digits: int) -> str:
    """Also of what no number has.

    >>> number(-1.234, 2), number(-math.inf, 2)
    ('-1.23', '-∞')
    """
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.{digits}f}"


def with_interval(figure: Figure, digits: int, num_files: int) -> str:
    """As a README has it: 0.780 (0.767 to 0.792), or 0.780 (0.767 to 0.792; 12 of 30).

    The latter where a mean is of fewer than `num_files` files.
    """
    text = number(figure.mean, digits)
    inside = "; ".join(filter(None, (_interval(figure, digits), _count(figure, num_files))))
    return f"{text} ({inside})" if inside else text


def markdown_table(evaluation: Evaluation, metrics: Sequence[str]) -> str:
    """Systems by bitrate with kbit/s and `metrics`, means with intervals, for a README.

    What was skipped is left out, what is suspicious says so, and a mean of fewer files than all
    says of how many. Raises VqaudioError for a metric that
    the evaluation does not know.
    """
    found = [metric_of(evaluation, name) for name in metrics]
    systems = by_bitrate(evaluation)
    digits = [decimals_of(figure_of(system, name) for system in systems) for name in metrics]
    heads = ["system", "kbit/s", *(_with_unit(metric) for metric in found)]
    lines = [_markdown(heads), "|---|" + "---:|" * (len(heads) - 1)]
    for system in systems:
        flag = " (suspicious)" if system.status == "suspicious" else ""
        figures = [
            with_interval(figure_of(system, metric), places, evaluation.num_files)
            for metric, places in zip(metrics, digits, strict=True)
        ]
        lines.append(_markdown([system.label + flag, _kbits(system.bitrate).text, *figures]))
    return "\n".join(lines) + "\n"


def metric_of(evaluation: Evaluation, name: str) -> MetricResult:
    """Raises VqaudioError when there is none."""
    for metric in evaluation.metrics:
        if metric.name == name:
            return metric
    names = ", ".join(metric.name for metric in evaluation.metrics) or "none"
    raise VqaudioError(f"the evaluation has no metric {name!r}: choose from {names}")


def lines(evaluation: Evaluation) -> list[str]:
    """For the terminal: means with half their intervals, in blocks of lines of 100 letters."""
    systems = by_bitrate(evaluation)
    columns = [["system", "", *(_plain(system.label) for system in systems)]]
    columns += [["kbit/s", "", *(_kbits(system.bitrate).text for system in systems)]]
    partly = False
    for metric in measured_metrics(evaluation):
        figures = [figure_of(system, metric.name) for system in systems]
        digits = decimals_of(figures)
        texts = [_with_half(figure, digits, evaluation.num_files) for figure in figures]
        partly |= any(_count(figure, evaluation.num_files) for figure in figures)
        columns.append([_plain(_with_unit(metric)), metric.direction, *texts])
    found: list[str] = []
    for block in _blocks(columns):
        found += ([""] if found else []) + [_aligned(row) for row in zip(*block, strict=True)]
    if not systems:
        found = ["no system could be measured"]
    else:
        found += ["", "means ± half of their 95 % intervals; higher, lower: which is better"]
        if partly:
            found.append("(n of N): only n of N files have a value")
    for system in (*systems, *skipped(evaluation)):
        if system.status != "ok":
            reason = _plain(system.reason) or "no reason given"
            found.append(f"{system.status}: {_plain(system.label)}: {reason}")
    return found + [
        f"skipped: {_plain(metric.label)}: {_plain(metric.reason) or 'no reason given'}"
        for metric in evaluation.metrics
        if metric.status == "skipped"
    ]


def files_csv(evaluation: Evaluation) -> str:
    """A line a file and system; an empty field where there is no value."""
    names = [metric.name for metric in evaluation.metrics]
    names += dict.fromkeys(
        name for row in evaluation.files for name in row.scores if name not in set(names)
    )
    facts = ("file", "speaker", "seconds", "system", "num_bits", "encode_seconds", "decode_seconds")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*facts, *names])
    for row in evaluation.files:
        scores = [row.scores.get(name) for name in names]
        writer.writerow([*(getattr(row, fact) for fact in facts), *scores])
    return buffer.getvalue()


def _cell(figure: Figure, digits: int, num_files: int) -> Cell:
    text, interval = number(figure.mean, digits), _interval(figure, digits)
    return Cell(text, interval, finite(figure.mean), _count(figure, num_files))


def _count(figure: Figure, num_files: int) -> str:
    """n of N; empty for all files, and for none, where there is no value to explain."""
    return f"{figure.count} of {num_files}" if 0 < figure.count < num_files else ""


def _interval(figure: Figure, digits: int) -> str:
    if finite(figure.low) is None or finite(figure.high) is None:
        return ""
    return f"{number(figure.low, digits)} to {number(figure.high, digits)}"


def _with_half(figure: Figure, digits: int, num_files: int) -> str:
    text = number(figure.mean, digits)
    if figure.low is not None and figure.high is not None:
        text += f" ±{number((figure.high - figure.low) / 2, digits)}"
    count = _count(figure, num_files)
    return f"{text} ({count})" if count else text


def _kbits(bitrate: float | None) -> Cell:
    return Cell(number(None if bitrate is None else bitrate / 1000, 2), value=finite(bitrate))


def _speed(speed: float | None) -> Cell:
    return Cell(number(speed, 0 if speed is None or speed >= 10 else 1), value=finite(speed))


def _delay(samples: int, sample_rate: int) -> Cell:
    milliseconds = 1000 * samples / sample_rate
    return Cell(number(milliseconds, 1), value=milliseconds)


def _with_unit(metric: MetricResult) -> str:
    return f"{metric.label} ({metric.unit})" if metric.unit else metric.label


def _markdown(cells: Sequence[str]) -> str:
    texts = (_plain(cell).replace("\\", "\\\\").replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(text.replace("<", "&lt;") for text in texts) + " |"


def _plain(text: str) -> str:
    """On one line, without what would move a terminal's cursor."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def _blocks(columns: list[list[str]]) -> list[list[list[str]]]:
    """Columns side by side as far as a line goes; each block begins with the first two."""
    first = [_padded(column, left=place == 0) for place, column in enumerate(columns[:2])]
    blocks = [[*first]]
    for column in (_padded(column, left=False) for column in columns[2:]):
        if len(blocks[-1]) > 2 and _width(blocks[-1]) + 2 + len(column[0]) > TERMINAL_WIDTH:
            blocks.append([*first])
        blocks[-1].append(column)
    return blocks


def _padded(column: list[str], *, left: bool) -> list[str]:
    width = max(map(len, column))
    return [text.ljust(width) if left else text.rjust(width) for text in column]


def _width(block: list[list[str]]) -> int:
    return sum(len(column[0]) + 2 for column in block) - 2


def _aligned(cells: Sequence[str]) -> str:
    return "  ".join(cells).rstrip()
