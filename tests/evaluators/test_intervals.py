"""Intervals cover what they say as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from imprimatur_evaluators.statistics.intervals import (
    Interval,
    basic,
    binomial_share,
    bootstrap,
    clopper_pearson,
    corrected,
    holm,
    percentile,
    student_mean,
)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (7, 20, 0.1539, 0.5922)]
)
def test_clopper_pearson_has_its_published_values(hits: int, n: int, low: float, high: float) -> None:
    found = clopper_pearson(hits, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.97])
def test_clopper_pearson_covers_at_least_its_level(share: float) -> None:
    drawn = np.random.default_rng(0).binomial(60, share, size=2000)
    found = [clopper_pearson(int(hits), 60) for hits in drawn]
    assert np.mean([one.low <= share <= one.high for one in found]) >= 0.95 - 0.015


def test_students_interval_covers_the_mean() -> None:
    rng = np.random.default_rng(0)
    found = [student_mean(rng.exponential(size=60)).interval for _ in range(1000)]
    assert 0.92 <= np.mean([one.low <= 1 <= one.high for one in found]) <= 0.98


def test_the_basic_bootstrap_covers_and_is_the_percentile_mirrored() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for run in range(200):
        data = rng.normal(2, 1, size=50)
        spread = bootstrap(lambda rows, data=data: float(data[rows].mean()), [50], replicates=200, seed=run)
        interval, plain = basic(float(data.mean()), spread), percentile(spread)
        assert interval.low == pytest.approx(2 * data.mean() - plain.high)
        covered += interval.low <= 2 <= interval.high
    assert 180 <= covered <= 198


def test_the_bootstraps_bias_is_taken_off() -> None:
    assert corrected(3.0, np.array([4.0, 5.0, 6.0])) == 1.0


def test_holm_is_monotone_and_never_above_one() -> None:
    assert holm([0.5, 0.01, 0.4, 0.02]) == pytest.approx([0.8, 0.04, 0.8, 0.06])


def test_an_interval_is_clipped_to_the_range_of_its_statistic() -> None:
    assert Interval(-0.2, 1.3).clipped(0.0, 1.0) == Interval(0.0, 1.0)


def test_a_share_stands_in_its_interval() -> None:
    found = binomial_share(3, 50)
    assert found.interval.low < found.value == 0.06 < found.interval.high
