"""Intervals for measured numbers, and corrections for asking several questions at once.

The percentile bootstrap is offered for unbiased statistics only. The Frechet distance is biased by more than its
spread, so that its percentile interval always misses the population's value; the basic bootstrap turns the bias around.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from imprimatur_evaluators.statistics.arrays import Array

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """The two ends of a confidence interval, ``low`` <= ``high``."""

    low: float
    high: float

    def clipped(self, low: float, high: float = np.inf) -> Interval:
        """The part of the interval inside the statistic's range; it covers exactly as often."""
        return Interval(float(np.clip(self.low, low, high)), float(np.clip(self.high, low, high)))


@dataclass(frozen=True)
class Estimate:
    """One number with its interval, resting on ``n`` images.

    ``value`` estimates what the interval covers. ``plug_in`` is the statistic as the textbook formula gives it on this
    sample; it differs from ``value`` where the formula is biased and ``value`` is corrected for that.
    """

    value: float
    interval: Interval
    n: int
    plug_in: float


def clopper_pearson(hits: int, n: int, level: float = LEVEL) -> Interval:
    """The exact interval of a binomial share; it covers at least ``level`` of the time (Clopper and Pearson, 1934).

    >>> clopper_pearson(0, 100).low, round(clopper_pearson(0, 100).high, 4)
    (0.0, 0.0362)
    """
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits == n else float(stats.beta.isf(tail, hits + 1, n - hits))
    return Interval(low, high)


def binomial_share(hits: int, n: int, level: float = LEVEL) -> Estimate:
    """The share ``hits / n`` with its exact interval."""
    return Estimate(hits / n, clopper_pearson(hits, n, level), n, hits / n)


def wilson(share: float, n: float, level: float = LEVEL) -> Interval:
    """The score interval of a binomial share of ``n`` observations, or of what they are worth (Wilson, 1927).

    >>> round(wilson(1.0, 100).low, 4), wilson(1.0, 100).high
    (0.963, 1.0)
    """
    z = normal_quantile(level)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    margin = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return Interval(float(max(min(centre - margin, share), 0.0)), float(min(max(centre + margin, share), 1.0)))


def student_mean(values: Array, level: float = LEVEL) -> Estimate:
    """The mean of independent values [n] with Student's interval; n >= 2."""
    n = len(values)
    centre = float(values.mean())
    margin = float(stats.t.isf((1 - level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(centre, Interval(centre - margin, centre + margin), n, centre)


def stratified_mean(values: Array, strata: Any, level: float = LEVEL) -> Estimate:
    """The mean of values [n] over fixed strata [n] of two values or more each, with Welch and Satterthwaite's interval.

    Estimand: the mean over these strata, weighted as they are here. What lies between strata does not widen it.
    """
    n = len(values)
    groups = [values[strata == one] for one in np.unique(strata)]
    parts = np.array([len(group) * group.var(ddof=1) / n**2 for group in groups])
    centre, variance = float(values.mean()), float(parts.sum())
    freedom = variance**2 / max(
        sum(part**2 / (len(group) - 1) for part, group in zip(parts, groups, strict=True)), 1e-300
    )
    margin = float(stats.t.isf((1 - level) / 2, max(freedom, 1.0)) * np.sqrt(variance))
    return Estimate(centre, Interval(centre - margin, centre + margin), n, centre)


def jackknife_variance(left_out: Array) -> float:
    """The variance of a statistic from its values [n] with one observation left out each time.

    By Efron and Stein (1981) its expectation is at least the variance, so an interval from it is no too narrow one.
    """
    n = len(left_out)
    return float((n - 1) / n * np.square(left_out - left_out.mean()).sum())


def normal_quantile(level: float = LEVEL) -> float:
    """How many standard deviations the interval of a normal statistic reaches to either side."""
    return float(stats.norm.isf((1 - level) / 2))


def normal(value: float, variance: float, level: float = LEVEL) -> Interval:
    """The interval of a normal statistic around ``value``."""
    margin = normal_quantile(level) * float(np.sqrt(variance))
    return Interval(value - margin, value + margin)


def bootstrap(statistic: Callable[..., float], sizes: Sequence[int], *, replicates: int, seed: int) -> Array:
    """The statistic [replicates] on resamples with replacement; it is called with one array of indices per sample."""
    generator = np.random.default_rng(seed)
    draws = ([generator.integers(size, size=size) for size in sizes] for _ in range(replicates))
    return np.array([statistic(*draw) for draw in draws])


def percentile(replicates: Array, level: float = LEVEL) -> Interval:
    """The middle ``level`` of the replicates: right for unbiased statistics only."""
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def basic(value: float, replicates: Array, level: float = LEVEL) -> Interval:
    """The percentile interval mirrored at ``value``, which turns the statistic's bias around instead of doubling it."""
    mirrored = percentile(replicates, level)
    return Interval(2 * value - mirrored.high, 2 * value - mirrored.low)


def corrected(value: float, replicates: Array) -> float:
    """``value`` less the bias that the bootstrap sees."""
    return float(2 * value - replicates.mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted so that all together are wrong at the level at which each is judged (Holm, 1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in adjusted]
