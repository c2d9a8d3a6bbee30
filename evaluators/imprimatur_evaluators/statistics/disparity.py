"""How far the labels seen in images lie from a declared target.

    total variation  sum |p - q| / 2           range [0, 1]
    divergence       sum p log(p / q), nats    range [0, inf)

Lower is better for both; zero means that shares p equal target q. Both are biased upwards: a perfectly fair generator
shows a total variation of 0.08 at 200 images and ten labels. So the value reported is median-unbiased, the null
expectation stands beside it, and the interval inverts exact tests: it holds each distance at which what was seen is not
surprising, on lines that lead from the target in the direction seen. Far from the target, where a line knows little of
the spread across it, the bootstrap may widen it. It holds zero whenever the test against the target does not reject.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.intervals import LEVEL, Estimate, Interval, basic, percentile

Counts = NDArray[np.int64]
_Distance = Callable[[Array, Array], Array]
_POSITIONS = 25
_ROUNDING = 1e-12


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
    0.0843
    """
    above = np.floor(n * target) + 1
    deviations = 2 * above * (1 - target) * stats.binom.pmf(above, n, target)
    return float(np.sum(deviations)) / (2 * n)


def disparity(counts: Counts, target: Array, *, seed: int, draws: int = 2000) -> Disparity:
    """The disparity of label counts [labels] from target shares [labels], all positive.

    How much chance adds to a total variation depends on whether it sits in few labels or is spread over all. So the
    lower end of its interval may come from the line of the few labels that stand out, the upper end from one that moves
    every label: the more cautious of the two.
    """
    target = _checked_target(counts, target)
    seen = _Seen(counts, int(counts.sum()), target)
    step = seen.shares - target
    sparse = _Line(seen, _balanced(_outstanding(step, target, seen.n), target), total_variation, seed, draws)
    spread = _Line(seen, _balanced(np.sign(step) * target, target), total_variation, seed, draws)
    through = _Line(seen, _balanced(step, target), divergence, seed, draws)
    return Disparity(
        _estimate(seen, [sparse, spread], [basic(sparse.observed, _resampled(seen, total_variation, seed, draws))]),
        _estimate(seen, [through], _divergence_intervals(seen, through.observed, seed, draws)),
        null_expectation(seen.n, target),
        float(spread.reached[0]),
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


@dataclass(frozen=True, eq=False)
class _Seen:
    """The labels seen, and what they are compared with."""

    counts: Counts
    n: int
    target: Array

    @property
    def shares(self) -> Array:
        return self.counts / self.n


class _Line:
    """Exact multinomial tests along a line of shares that starts at the target and goes in one direction.

    ``along`` [positions] is each position's distance from the target; ``reached`` and ``exceeded`` say how often chance
    shows at least, or more than, the distance seen there. The sample counts as one draw, which keeps the tests exact.
    """

    def __init__(self, seen: _Seen, direction: Array, distance: _Distance, seed: int, draws: int) -> None:
        self.observed = float(distance(seen.shares, seen.target))
        shares = _shares_along(seen, direction, distance, _farthest(self.observed, seen.n))
        drawn = np.random.default_rng(seed).multinomial(seen.n, shares, size=(draws, _POSITIONS)) / seen.n
        distances = distance(drawn, seen.target)
        self.along = distance(shares, seen.target)
        self.reached: Array = (1 + (distances > self.observed - _ROUNDING).sum(axis=0)) / (1 + draws)
        self.exceeded: Array = (distances > self.observed + _ROUNDING).sum(axis=0) / (1 + draws)

    def crossing(self, often: Array, tail: float) -> float:
        """The distance from the target from which on chance goes beyond what was seen more often than ``tail``."""
        often = np.maximum.accumulate(often)
        after = int(np.searchsorted(often, tail, side="right"))
        if after == 0:
            return 0.0
        if after == _POSITIONS:
            return float(self.along[-1])
        part = (tail - often[after - 1]) / (often[after] - often[after - 1])
        return float(self.along[after - 1] + part * (self.along[after] - self.along[after - 1]))


def _resampled(seen: _Seen, distance: _Distance, seed: int, draws: int) -> Array:
    """The distance [draws] of bootstrap samples."""
    drawn = np.random.default_rng(seed).multinomial(seen.n, seen.shares, size=draws) / seen.n
    return distance(drawn, seen.target)


def _divergence_intervals(seen: _Seen, observed: float, seed: int, draws: int) -> list[Interval]:
    """Both bootstrap intervals, since a divergence bends where some labels are never seen and the others even."""
    resampled = _resampled(seen, divergence, seed, draws)
    return [basic(observed, resampled), percentile(resampled)]


def _estimate(seen: _Seen, lines: list[_Line], resampled: list[Interval]) -> Estimate:
    """The median-unbiased distance with its interval, which holds all that the lines and the bootstrap give."""
    tail = (1 - LEVEL) / 2
    tested = [Interval(line.crossing(line.reached, tail), line.crossing(line.exceeded, 1 - tail)) for line in lines]
    low = max(min(one.low for one in tested + resampled), 0.0)
    high = max(one.high for one in tested + resampled)
    middle = float(np.mean([line.crossing(often, 0.5) for line in lines for often in (line.reached, line.exceeded)]))
    return Estimate(middle, Interval(low, high), seen.n, lines[0].observed)


def _farthest(observed: float, n: int) -> float:
    """A distance at which chance hardly shows as little as was seen, for a total variation as for a divergence.

    A total variation falls short by e with a probability of at most exp(-2 n e^2) (McDiarmid, 1989); 2 n times a
    divergence is about chi-squared, so that its root moves by about 1 / sqrt(2 n).
    """
    slack = np.sqrt(np.log(1000) / (2 * n))
    return float(max(1.5 * (observed + slack), np.square(np.sqrt(observed) + 3 * slack)))


def _shares_along(seen: _Seen, direction: Array, distance: _Distance, farthest: float) -> Array:
    """Shares [positions, labels] in equal steps of distance from the target to ``farthest``, or the line's end."""
    candidates = np.concatenate([[0.0], np.geomspace(1e-4, 1e2, 400)])
    distances = np.maximum.accumulate(distance(_shares_at(seen, direction, candidates), seen.target))
    steps = np.linspace(0.0, min(farthest, float(distances[-1])), _POSITIONS)
    return _shares_at(seen, direction, np.interp(steps, distances, candidates))


def _shares_at(seen: _Seen, direction: Array, positions: Array) -> Array:
    shares = np.maximum(seen.target + positions[:, None] * direction, 0.0)
    normal: Array = shares / shares.sum(axis=1, keepdims=True)
    return normal


def _outstanding(step: Array, target: Array, n: int) -> Array:
    """The parts of ``step`` that exceed twice their standard error, and at least the largest one up and one down."""
    kept = np.abs(step) > 2 * np.sqrt(target * (1 - target) / n)
    kept[[step.argmax(), step.argmin()]] = True
    parts: Array = np.where(kept, step, 0.0)
    return parts


def _balanced(step: Array, target: Array) -> Array:
    """A direction of total variation one, up and down like ``step``; where there is none, to the rarest label."""
    if np.abs(step).max() < _ROUNDING:
        step = np.eye(len(target))[int(target.argmin())] - target
    up, down = np.maximum(step, 0.0), np.maximum(-step, 0.0)
    direction: Array = up / up.sum() - down / down.sum()
    return direction
