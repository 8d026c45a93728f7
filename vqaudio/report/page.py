"""The page: what the templates are filled with, made ready to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources
from typing import Any, NamedTuple

from vqaudio.describe import UNITS
from vqaudio.errors import VqaudioError
from vqaudio.evaluate.results import Evaluation, LevelUsage, SystemResult
from vqaudio.report.colours import PROPERTIES
from vqaudio.report.curves import is_own, measured_metrics, skipped
from vqaudio.report.examples import Example, Take, decibels, difference, spectrogram, to_flac
from vqaudio.report.plots import (
    axis_label,
    family_mark,
    family_styles,
    rank_frequency,
    rate_distortion,
)
from vqaudio.report.svg import drawing, to_inline, to_svg
from vqaudio.report.tables import number, table_of

MAIN_PLOTS = 4
"""Shown large: the metrics that tell most."""
SCORES = 3
"""Of a take, beside its name."""


class PlotView(NamedTuple):
    """One plot with its heading."""

    label: str
    hint: str
    svg: str


class LegendView(NamedTuple):
    """How one family is drawn."""

    family: str
    own: bool
    svg: str


class UsageView(NamedTuple):
    """The codebooks of one system."""

    label: str
    own: bool
    svg: str
    levels: tuple[LevelUsage, ...]


class TakeView(NamedTuple):
    """One sound with its pictures."""

    take: Take
    scores: str
    sound: str
    picture: str
    difference: str


class ExampleView(NamedTuple):
    """One recording to listen to."""

    example: Example
    seconds: float
    takes: tuple[TakeView, ...]


def report_page(evaluation: Evaluation, examples: Sequence[Example]) -> str:
    """The HTML of a whole report. Raises VqaudioError when matplotlib or jinja2 is missing."""
    plots = _plots(evaluation)
    views = [_example(evaluation, example) for example in examples if example.takes]
    return _render(
        "report.html.j2",
        evaluation=evaluation,
        date=_date(evaluation.date),
        duration=duration(evaluation.seconds),
        main_plots=plots[:MAIN_PLOTS],
        other_plots=plots[MAIN_PLOTS:],
        legend=_legend(evaluation),
        table=table_of(evaluation),
        skipped=skipped(evaluation),
        suspicious=[system for system in evaluation.systems if system.status == "suspicious"],
        skipped_metrics=[metric for metric in evaluation.metrics if metric.status != "ok"],
        examples=views,
        heard=_heard(evaluation, views),
        usages=_usages(evaluation),
        model=facts_of(evaluation.model),
    )


def usage_page(levels: Sequence[LevelUsage], facts: Mapping[str, Any]) -> str:
    """The HTML of codebooks alone. Raises VqaudioError when matplotlib or jinja2 is missing."""
    # The levels have a table of their own.
    known = {name: value for name, value in facts.items() if name != "levels"}
    model = facts.get("model", "a model")
    usage = _usage(str(model), levels, own=True, prefix="usage")
    return _render("usage.html.j2", usage=usage, facts=facts_of(known), model=model)


def duration(seconds: float) -> str:
    """In words.

    >>> duration(42), duration(183), duration(5400)
    ('42 s', '3.0 min', '1.5 h')
    """
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def facts_of(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names in words and values with their units, whatever is nested laid flat.

    >>> facts_of({"frame_rate": 50.0, "training": {"speakers": 12}})
    [('frame rate', '50 frames/s'), ('training: speakers', '12')]
    """
    found = []
    for name, value in facts.items():
        words = str(name).replace("_", " ")
        if isinstance(value, Mapping):
            found += [(f"{words}: {inner}", text) for inner, text in facts_of(value)]
        else:
            has_unit = name in UNITS and isinstance(value, int | float | list | tuple)
            found.append((words, f"{_text(value)} {UNITS[name]}" if has_unit else _text(value)))
    return found


def _text(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case list() | tuple():
            return ", ".join(map(_text, value)) or "none"
        case None:
            return "unknown"
        case _:
            return str(value)


def _date(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text.replace('Z', '+00:00')):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text


def _plots(evaluation: Evaluation) -> list[PlotView]:
    if not any(system.status != "skipped" for system in evaluation.systems):
        return []
    found = []
    with drawing():
        for place, metric in enumerate(measured_metrics(evaluation), start=1):
            plot = rate_distortion(evaluation, metric, alone=False)
            label = f"{metric.label} against bitrate; the values are in the table below."
            svg = to_inline(to_svg(plot.picture, plot.titles), prefix=f"plot{place}", label=label)
            found.append(PlotView(metric.label, axis_label(metric), svg))
    return found


def _legend(evaluation: Evaluation) -> list[LegendView]:
    found = []
    with drawing():
        for place, (family, look) in enumerate(family_styles(evaluation).items()):
            mark = to_inline(to_svg(family_mark(look)), prefix=f"mark{place}", label="")
            found.append(LegendView(family, look.own, mark))
    return found


def _usages(evaluation: Evaluation) -> list[UsageView]:
    """The evaluated model first, and of each family what has the most levels."""
    richest: dict[str, SystemResult] = {}
    for system in evaluation.systems:
        if system.usage and len(system.usage) >= len(richest.get(system.family, system).usage):
            richest[system.family] = system
    systems = sorted(richest.values(), key=lambda system: not is_own(evaluation, system))
    return [
        _usage(system.label, system.usage, own=is_own(evaluation, system), prefix=f"usage{place}")
        for place, system in enumerate(systems)
    ]


def _usage(label: str, levels: Sequence[LevelUsage], *, own: bool, prefix: str) -> UsageView:
    with drawing():
        name = f"How often each code of {label} occurs, by rank, a curve for each level."
        svg = to_inline(to_svg(rank_frequency(levels, alone=False)), prefix=prefix, label=name)
    return UsageView(label, own, svg, tuple(levels))


def _example(evaluation: Evaluation, example: Example) -> ExampleView:
    rate, original = example.sample_rate, example.takes[0].waveform
    levels = decibels(original, rate)
    top = float(levels.max())
    takes = []
    for place, take in enumerate(example.takes):
        decoded = decibels(take.waveform, rate)
        takes.append(
            TakeView(
                take=take,
                scores=_scores(evaluation, example.file, take.system),
                sound=to_flac(take.waveform, rate),
                picture=spectrogram(decoded, top=top),
                difference=difference(levels, decoded, top=top) if place else "",
            )
        )
    return ExampleView(example, len(original) / rate, tuple(takes))


def _heard(evaluation: Evaluation, views: Sequence[ExampleView]) -> float | None:
    """Seconds after which recordings are cut to be listened to; None where all are whole."""
    whole = {row.file: row.seconds for row in evaluation.files}
    cut = [v.seconds for v in views if whole.get(v.example.file, 0.0) - v.seconds > 0.01]
    return max(cut, default=None)


def _scores(evaluation: Evaluation, file: str, system: str) -> str:
    """What a take got in the metrics that tell most: "PESQ-WB 2.41, STOI 0.93"."""
    row = next((row for row in evaluation.files if (row.file, row.system) == (file, system)), None)
    if row is None:
        return ""
    metrics = [m for m in measured_metrics(evaluation) if row.scores.get(m.name) is not None]
    texts = (f"{m.label} {_minus(number(row.scores[m.name], 2))}" for m in metrics[:SCORES])
    return ", ".join(texts)


def _minus(text: str) -> str:
    """A number with the sign that is as wide as a digit."""
    return text.replace("-", "\N{MINUS SIGN}")


def _render(name: str, **values: Any) -> str:
    try:
        import jinja2
    except ImportError:
        raise VqaudioError("The report needs jinja2: pip install 'vqaudio[eval]'.") from None
    folder = resources.files("vqaudio.report") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda file: (folder / file).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, minus=_minus)
    return environment.get_template(name).render(properties=PROPERTIES, **values)
