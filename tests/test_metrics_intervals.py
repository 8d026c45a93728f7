"""Intervals of means, ratios and paired differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vqaudio.metrics import Interval, bootstrap_interval, bootstrap_ratio, paired_difference


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
    assert bootstrap_interval([2.0, math.nan, 2.0]) == Interval(2.0, 2.0, 2.0)
    for values, mean in (([1.5], 1.5), ([1.0, math.inf], math.inf), ([], math.nan)):
        interval = bootstrap_interval(values)
        assert interval.mean == pytest.approx(mean, nan_ok=True)
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)


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
    assert bootstrap_ratio([0.0, 1.0, 2.0], [0.0, 4.0, 8.0]).high == 0.25
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
    assert paired_difference(a, b) == Interval(2.0, 2.0, 2.0)
    assert math.isnan(paired_difference([math.nan], [1.0]).mean)
    with pytest.raises(ValueError, match="zip"):
        paired_difference([1.0], [])
