"""How far the labels seen in images lie from a declared target.

    total variation  sum |p - q| / 2           range [0, 1]
    divergence       sum p log(p / q), nats    range [0, inf)

Lower is better for both; zero means that shares p equal target q. Both are biased upwards: a perfectly fair generator
shows a total variation of 0.09 at 200 images and ten labels. So the value reported is median-unbiased, the null
expectation stands beside it, and the interval inverts exact tests: it holds each distance at which what was seen is not
surprising, along the line from the target through the shares seen. It reaches zero just when the test against the target
does not reject.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.statistics.intervals import LEVEL, Array, Estimate, Interval

Counts = NDArray[np.int64]
_Distance = Callable[[Array, Array], Array]
_STEPS = 30


@dataclass(frozen=True)
class Disparity:
    """Both distances with their intervals, what chance alone would show, and the exact test against the target."""

    total_variation: Estimate
    divergence: Estimate
    null_expectation: float
    p_value: float


def total_variation(shares: Array, target: Array) -> Array:
    """The total variation of shares [..., labels] from target [labels]."""
    distance: Array = np.abs(shares - target).sum(axis=-1) / 2
    return distance


def divergence(shares: Array, target: Array) -> Array:
    """The Kullback-Leibler divergence in nats of shares [..., labels] from target [labels]."""
    ratio = np.where(shares > 0, shares, 1.0) / np.where(shares > 0, target, 1.0)
    distance: Array = (shares * np.log(ratio)).sum(axis=-1)
    return distance


def null_expectation(n: int, target: Array) -> float:
    """The total variation that n images of a perfectly fair generator show on average, exactly (de Moivre, 1730).

    >>> round(null_expectation(200, np.full(10, 0.1)), 4)
    0.0844
    """
    above = np.floor(n * target) + 1
    deviations = 2 * above * (1 - target) * stats.binom.pmf(above, n, target)
    return float(np.sum(deviations)) / (2 * n)


def disparity(counts: Counts, target: Array, *, seed: int, draws: int = 4000, level: float = LEVEL) -> Disparity:
    """The disparity of label counts [labels] from target shares [labels], all positive."""
    target = _checked_target(counts, target)
    test = _Inversion(counts, target, seed, draws, level)
    return Disparity(
        test.estimate(total_variation),
        test.estimate(divergence),
        null_expectation(int(counts.sum()), target),
        test.p_value(total_variation),
    )


def _checked_target(counts: Counts, target: Array) -> Array:
    if len(target) != len(counts) or len(counts) < 2 or not np.all(np.isfinite(target)) or np.any(target <= 0):
        raise BadRequest(
            "bad-target",
            f"a target needs one positive share for each of {len(counts)} labels, at least two (got {list(target)})",
        )
    if counts.sum() < 1:
        raise BadRequest("no-labels", "disparity needs at least one labelled image (got 0)")
    return np.asarray(target, dtype=np.float64) / np.sum(target)


class _Inversion:
    """Exact multinomial tests along the line from the target through the shares seen, inverted to an interval."""

    def __init__(self, counts: Counts, target: Array, seed: int, draws: int, level: float) -> None:
        self.n = int(counts.sum())
        self.target = target
        self.seen: Array = counts / self.n
        self.tail = (1 - level) / 2
        self.seed, self.draws = seed, draws
        step = self.seen - target
        self.step = step if np.abs(step).max() > 1e-12 else np.eye(len(target))[int(target.argmin())] - target

    def shares_at(self, position: float) -> Array:
        """The shares at a position on the line: 0 is the target, 1 what was seen."""
        shares = np.maximum(self.target + position * self.step, 0.0)
        normal: Array = shares / shares.sum()
        return normal

    def drawn(self, position: float, distance: _Distance) -> Array:
        """The distance [draws] that samples of this size show at a position."""
        generator = np.random.default_rng(self.seed)
        counts = generator.multinomial(self.n, self.shares_at(position), size=self.draws)
        return distance(counts / self.n, self.target)

    def at_least(self, position: float, distance: _Distance) -> float:
        """How often chance shows at least the distance seen; the sample itself is counted, which makes the test exact."""
        drawn = self.drawn(position, distance)
        return float((1 + (drawn >= self._observed(distance) - 1e-12).sum()) / (1 + len(drawn)))

    def p_value(self, distance: _Distance) -> float:
        """The p-value of the test that the population equals the target."""
        return self.at_least(0.0, distance)

    def estimate(self, distance: _Distance) -> Estimate:
        """The median-unbiased distance with its interval."""
        low, middle, high = (
            self._distance_at(self._crossing(distance, tail), distance) for tail in (self.tail, 0.5, 1 - self.tail)
        )
        return Estimate(middle, Interval(low, high), self.n, self._observed(distance))

    def _observed(self, distance: _Distance) -> float:
        return float(distance(self.seen, self.target))

    def _distance_at(self, position: float, distance: _Distance) -> float:
        return float(distance(self.shares_at(position), self.target))

    def _crossing(self, distance: _Distance, tail: float) -> float:
        """The position from which on chance shows at least the distance seen more often than ``tail``."""
        low, high = 0.0, 1.0
        if self.at_least(0.0, distance) > tail:
            return 0.0
        while self.at_least(high, distance) < tail and high < 1e6:
            high *= 2
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (low, middle) if self.at_least(middle, distance) > tail else (middle, high)
        return high
