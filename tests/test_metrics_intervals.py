"""Intervals of means, ratios and paired differences."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from vqaudio.metrics import (
    Interval,
    bootstrap_interval,
    bootstrap_ratio,
    intervals,
    paired_difference,
)


def test_the_bootstrap_interval() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, size=400)
    interval = bootstrap_interval(values.tolist())
    assert interval.mean == pytest.approx(values.mean())
    # For a mean the normal approximation knows the width: 1.96 standard errors a side.
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert bootstrap_interval(values.tolist()) == interval
    narrower = bootstrap_interval(values.tolist(), confidence=0.5)
    assert interval.low < narrower.low < narrower.high < interval.high
    coarse = bootstrap_interval(values.tolist(), resamples=100)
    assert coarse != interval


def test_the_bootstrap_interval_of_few_and_odd_values() -> None:
    assert bootstrap_interval([2.0, math.nan, *[2.0] * 5]) == Interval(2.0, 2.0, 2.0)
    infinite = [*[1.0] * 9, math.inf]
    five = [1.0, 2.0, 3.0, 4.0, 5.0, math.nan]
    for values, mean in (([1.5], 1.5), (infinite, math.inf), ([], math.nan), (five, 3.0)):
        interval = bootstrap_interval(values)
        assert interval.mean == pytest.approx(mean, nan_ok=True)
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)


@pytest.mark.parametrize("num_files", [6, 200])
def test_drawing_in_parts_draws_the_same(num_files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=num_files).tolist()
    weights = [1.0 + abs(value) for value in values]
    whole = bootstrap_interval(values), bootstrap_ratio(values, weights)
    monkeypatch.setattr(intervals, "DRAWN_AT_ONCE", 7 * num_files)
    assert (bootstrap_interval(values), bootstrap_ratio(values, weights)) == whole
    monkeypatch.setattr(intervals, "DRAWN_AT_ONCE", 1)
    assert bootstrap_interval(values) == whole[0]


def test_the_interval_of_many_values_takes_little_memory() -> None:
    values = np.random.default_rng(1).normal(size=20_000).tolist()
    tracemalloc.start()
    bootstrap_interval(values, resamples=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # 64 MB with all at once, and 32 of their indices


def test_a_ratio_is_that_of_the_sums() -> None:
    random = np.random.default_rng(0)
    words = random.integers(5, 30, size=300)
    errors = random.binomial(words, 0.1)
    interval = bootstrap_ratio(errors.tolist(), words.tolist())
    assert interval.mean == pytest.approx(errors.sum() / words.sum())
    # Words that err on their own: the width is that of a share of all words.
    half = 1.96 * math.sqrt(0.1 * 0.9 / words.sum())
    assert interval.low == pytest.approx(interval.mean - half, abs=0.25 * half)
    assert interval.high == pytest.approx(interval.mean + half, abs=0.25 * half)
    same = bootstrap_ratio(errors.tolist(), np.ones_like(words).tolist())
    assert same == pytest.approx(bootstrap_interval(errors.tolist()))


def test_a_ratio_of_few_and_odd_values() -> None:
    assert bootstrap_ratio([1.0], [4.0]).mean == 0.25
    assert math.isnan(bootstrap_ratio([1.0], [4.0]).low)
    assert math.isnan(bootstrap_ratio([], []).mean)
    assert math.isnan(bootstrap_ratio([1.0, 0.0], [0.0, 0.0]).mean)
    assert bootstrap_ratio([1.0, math.nan, 1.0], [4.0, 4.0, 4.0]).mean == 0.25
    assert math.isnan(bootstrap_ratio([1.0] * 5, [4.0] * 5).high)
    assert bootstrap_ratio([0.0, *[1.0, 2.0] * 3], [0.0, *[4.0, 8.0] * 3]).high == 0.25
    with pytest.raises(ValueError, match="zip"):
        bootstrap_ratio([1.0], [])


def test_a_paired_difference_takes_out_what_makes_a_file_hard() -> None:
    random = np.random.default_rng(0)
    files = random.normal(0, 10, size=100)
    a, b = files + 1 + random.normal(0, 1, 100), files + random.normal(0, 1, 100)
    paired = paired_difference(a.tolist(), b.tolist())
    assert paired == bootstrap_interval((a - b).tolist())
    assert 0 < paired.low < 1 < paired.high
    alone = bootstrap_interval(a.tolist())
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)


def test_only_files_where_both_have_a_value_are_paired() -> None:
    a, b = [3.0, math.nan, 5.0, math.inf], [1.0, 0.0, 3.0, 0.0]
    assert paired_difference(3 * a, 3 * b) == Interval(2.0, 2.0, 2.0)
    few = paired_difference(2 * a, 2 * b)
    assert few.mean == 2
    assert math.isnan(few.low)
    assert math.isnan(few.high)
    assert math.isnan(paired_difference([math.nan], [1.0]).mean)
    with pytest.raises(ValueError, match="zip"):
        paired_difference([1.0], [])
