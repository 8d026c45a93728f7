"""The plots: quality against bitrate, and how often codes occur."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from vqaudio.evaluate.results import Evaluation, LevelUsage, MetricResult
from vqaudio.report.colours import INK, MUTED, PAPER, Style, styles
from vqaudio.report.curves import (
    Curve,
    Point,
    curves,
    decimals_of,
    families,
    figure_of,
    level_lines,
    own_family,
)
from vqaudio.report.svg import new_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

CURVE_POINTS = 160
"""Of a rank-frequency curve, evenly on its logarithmic axis: more cannot be seen."""
LEGEND_LEVELS = 8


class Plot(NamedTuple):
    """A picture, and what is shown when the pointer rests on a point, by its gid."""

    picture: Picture
    titles: dict[str, str]


def family_styles(evaluation: Evaluation) -> dict[str, Style]:
    """The same in every plot."""
    return styles(families(evaluation), own_family(evaluation))


def rate_distortion(evaluation: Evaluation, metric: MetricResult, *, alone: bool) -> Plot:
    """A metric against kbit/s, one curve a family; `alone`: with a title and a legend.

    To be called within `drawing`.
    """
    picture = new_picture(6.4, 4.0) if alone else new_picture(4.0, 2.7)
    axes = picture.add_subplot()
    look = family_styles(evaluation)
    drawn = curves(evaluation, metric.name)
    # The evaluated model lies on top of all others.
    for curve in sorted(drawn, key=lambda curve: look[curve.family].own):
        _draw_curve(axes, curve, look[curve.family])
    titles = _mark_points(axes, drawn, metric, look)
    lines = level_lines(evaluation, metric.name)
    for label, mean in lines:
        axes.axhline(mean, color=MUTED.light, linewidth=0.9, dashes=(4, 3), zorder=1)
        # Beside the values, where no curve is hidden.
        axes.annotate(
            label,
            (1, mean),
            (0, -2 if metric.direction == "higher" else 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="top" if metric.direction == "higher" else "bottom",
            fontsize=7.5,
            color=MUTED.light,
        )
    if not drawn and not lines:
        axes.text(0.5, 0.5, "no values", ha="center", transform=axes.transAxes, color=MUTED.light)
        axes.set_yticks([])
    _bitrate_axis(axes, [point.kbits for curve in drawn for point in curve.points])
    axes.set_ylabel(axis_label(metric))
    axes.margins(y=0.1)
    if alone:
        axes.set_title(metric.label, loc="left", fontsize=11, fontweight="bold", color=INK.light)
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        order = [family for family in look if family in handles]
        if order:
            shown = [handles[family] for family in order]
            picture.legend(shown, order, loc="outside right upper", labelcolor=INK.light)
    return Plot(picture, titles)


def axis_label(metric: MetricResult) -> str:
    """Unit and direction: "MOS, higher is better"."""
    return ", ".join(part for part in (metric.unit, f"{metric.direction} is better") if part)


def _draw_curve(axes: Axes, curve: Curve, style: Style) -> None:
    """The line through the points that can be trusted, and its intervals."""
    order = 5 if style.own else 3
    points = [point for point in curve.points if point.system.status == "ok"]
    kbits = [point.kbits for point in points]
    if style.own:
        low, high = [point.low for point in points], [point.high for point in points]
        axes.fill_between(
            kbits, low, high, color=style.colour, alpha=0.15, linewidth=0, zorder=order
        )
    axes.plot(
        kbits,
        [point.mean for point in points],
        color=style.colour,
        linewidth=2.2 if style.own else 1.1,
        marker=style.marker,
        markersize=6 if style.own else 4.5,
        markeredgewidth=0,
        label=curve.family,
        zorder=order,
    )
    for point in curve.points:
        axes.vlines(
            point.kbits,
            point.low,
            point.high,
            color=style.colour,
            linewidth=1.4 if style.own else 0.9,
            zorder=order,
        )


def _mark_points(
    axes: Axes, drawn: Sequence[Curve], metric: MetricResult, look: dict[str, Style]
) -> dict[str, str]:
    """A hollow marker with a "!" for what is suspicious; a place for the pointer on every point."""
    titles = {}
    digits = decimals_of(figure_of(p.system, metric.name) for c in drawn for p in c.points)
    points = [(curve.family, point) for curve in drawn for point in curve.points]
    for place, (family, point) in enumerate(points):
        style, gid = look[family], f"point-{place}"
        suspicious = point.system.status == "suspicious"
        axes.plot(
            point.kbits,
            point.mean,
            marker=style.marker if suspicious else "o",
            markersize=5.5 if suspicious else 8,
            markerfacecolor=PAPER.light if suspicious else "none",
            markeredgecolor=style.colour if suspicious else "none",
            markeredgewidth=1.1,
            linestyle="none",
            gid=gid,
            zorder=6,
        )
        if suspicious:
            axes.annotate(
                "!",
                (point.kbits, point.mean),
                (5, 3),
                textcoords="offset points",
                color=style.colour,
                fontweight="bold",
                zorder=7,
            )
        titles[gid] = _title(point, digits)
    return titles


def _title(point: Point, digits: int) -> str:
    flag = ", suspicious" if point.system.status == "suspicious" else ""
    return (
        f"{point.system.label}{flag}: {point.kbits:.3g} kbit/s, {point.mean:.{digits}f} "
        f"({point.low:.{digits}f} to {point.high:.{digits}f})"
    )


def _bitrate_axis(axes: Axes, kbits: Sequence[float]) -> None:
    """Logarithmic, with powers of two as bitrates have them."""
    axes.set_xlabel("kbit/s")
    axes.set_xscale("log")
    low, high = min(kbits, default=1.0) / 1.25, max(kbits, default=1.0) * 1.25
    exponents = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    step = -(-len(exponents) // 10) or 1
    ticks = [2.0**exponent for exponent in exponents][::step] or [kbits[0]]
    axes.set_xlim(low, high)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.grid(visible=False, axis="x")


def family_mark(style: Style) -> Picture:
    """A piece of a curve, as it stands in the legend of the page. To be called in `drawing`."""
    picture = new_picture(0.42, 0.2)
    picture.set_layout_engine("none")
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
    width, size = (2.2, 6.0) if style.own else (1.1, 4.5)
    axes.plot([-1, 1], [0, 0], color=style.colour, linewidth=width)
    axes.plot([0], [0], color=style.colour, marker=style.marker, markersize=size, markeredgewidth=0)
    return picture


def rank_frequency(levels: Sequence[LevelUsage], *, alone: bool) -> Picture:
    """How often each code occurs, by rank, as a multiple of its fair share; a curve a level.

    To be called within `drawing`.
    """
    from matplotlib import colormaps

    picture = new_picture(6.4, 4.0) if alone else new_picture(4.6, 2.8)
    axes = picture.add_subplot()
    colours = colormaps["viridis"]
    shown = set(_spread(len(levels), LEGEND_LEVELS))
    for place, level in enumerate(levels):
        counts = [count for count in level.histogram if count > 0]
        ranks = sorted({round(len(counts) ** (n / CURVE_POINTS)) for n in range(CURVE_POINTS + 1)})
        fair = level.num_tokens / max(level.codebook_size, 1)
        if not counts or fair <= 0:
            continue
        axes.plot(
            ranks,
            [counts[rank - 1] / fair for rank in ranks],
            color=colours(0.3 + 0.5 * place / max(len(levels) - 1, 1)),
            linewidth=1.5,
            marker="o" if len(counts) == 1 else "",
            label=f"level {place + 1}" if place in shown else "_",
        )
    axes.set(xscale="log", yscale="log", xlabel="rank of the code", ylabel="times its fair share")
    axes.axhline(1, color=MUTED.light, linewidth=0.9, dashes=(4, 3), zorder=1)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    size = max((level.codebook_size for level in levels), default=1)
    axes.set_xlim(0.9, max(size, 2) * 1.1)
    if axes.get_legend_handles_labels()[0]:
        picture.legend(loc="outside right upper", labelcolor=INK.light)
    return picture


def _spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` of range(count), first and last among them."""
    if count <= wanted:
        return list(range(count))
    return [n * (count - 1) // (wanted - 1) for n in range(wanted)]
