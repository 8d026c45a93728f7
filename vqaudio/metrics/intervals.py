"""How sure a mean over files is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST_VALUES = 6
"""Fewer say too little: redrawing 2 files gives no mean outside of the two, and that of 5 files
covers the true mean far less often than it states."""
DRAWN_AT_ONCE = 1_000_000
"""Values, so that 50,000 files do not take a gigabyte; it does not change what is drawn."""


class Interval(NamedTuple):
    """A mean over files, and the limits that hold it with the stated confidence."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """The mean of `values`, in their unit, and its percentile bootstrap interval.

    One value a file: files are what another test set would differ in, so files are redrawn (Efron
    and Tibshirani 1993, chapter 13). The seed is fixed. nan values are left out; with none left
    the mean is nan. The limits are nan with fewer than six values, too few to say, or with an
    infinite one.
    """
    kept = [float(value) for value in values if not math.isnan(value)]
    mean = sum(kept) / len(kept) if kept else math.nan
    return _interval(mean, (kept,), np.mean, confidence, resamples)


def bootstrap_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """sum(numerators) / sum(denominators), and its interval: a word error rate over files.

    Files are redrawn, each with both of its numbers; the rest as for `bootstrap_interval`. Files
    with a denominator of 0 count with their numerator; nan with no denominator above 0.

    >>> bootstrap_ratio([1] * 6, [10] * 6)
    Interval(mean=0.1, low=0.1, high=0.1)
    """
    kept = [
        (float(above), float(below))
        for above, below in zip(numerators, denominators, strict=True)
        if not math.isnan(above) and not math.isnan(below)
    ]
    above, below = ([pair[i] for pair in kept] for i in (0, 1))
    ratio = sum(above) / sum(below) if sum(below) > 0 else math.nan
    return _interval(ratio, (above, below), _ratio, confidence, resamples)


def paired_difference(
    a: Sequence[float],
    b: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """The mean of a - b, in their unit, over the files where both have a value, and its interval.

    Values of one file stand at one place of both. What makes a file hard is taken out, so that
    the interval is narrower than those of the two means; where it holds 0, no difference is shown.
    As for `bootstrap_interval`, fewer than six such files are too few to say: limits of nan.

    >>> paired_difference([3.0, 5.0, 4.0], [2.0, 4.0, math.nan])
    Interval(mean=1.0, low=nan, high=nan)
    """
    differences = [
        first - second
        for first, second in zip(a, b, strict=True)
        if math.isfinite(first) and math.isfinite(second)
    ]
    return bootstrap_interval(differences, confidence=confidence, resamples=resamples)


def _interval(
    value: float,
    columns: tuple[list[float], ...],
    statistic: Callable[..., Any],
    confidence: float,
    resamples: int,
) -> Interval:
    """Rows of `columns` are redrawn; nan for the limits where there is too little to draw from."""
    from scipy.stats import bootstrap  # a second to import

    if len(columns[0]) < LEAST_VALUES or not math.isfinite(value):
        return Interval(value, math.nan, math.nan)
    found = bootstrap(
        columns,
        statistic,
        paired=len(columns) > 1,
        confidence_level=confidence,
        n_resamples=resamples,
        batch=max(DRAWN_AT_ONCE // len(columns[0]), 1),
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(value, float(found.low), float(found.high))


def _ratio(above: NDArray[Any], below: NDArray[Any], axis: int = -1) -> NDArray[Any]:
    # A draw of files without a denominator has no ratio; it counts as all wrong.
    total = below.sum(axis=axis)
    ratio: NDArray[Any] = above.sum(axis=axis) / np.where(total > 0, total, 1)
    return ratio
