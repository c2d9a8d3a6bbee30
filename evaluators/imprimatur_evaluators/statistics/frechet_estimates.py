"""What the Frechet distance between two populations is, from features of both: corrected for bias, with an interval.

The formula on n images is too large by about c / n, which is often many times its spread. Both estimates here fit that
bias away, and then are linear in the images to first order, with the influence of an image y on the distance

    (y - m2)' (I - T) (y - m2) + 2 (m2 - m1)' (y - m2), less its mean

where T carries the images' Gaussian to the other side's; so that the variance is that of a weighted mean of
influences. A bootstrap would need hundreds of distances for the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from imprimatur_evaluators.errors import require_count
from imprimatur_evaluators.statistics.arrays import Array, as_array
from imprimatur_evaluators.statistics.frechet import EPSILON, cholesky, frechet_distance, whitened
from imprimatur_evaluators.statistics.intervals import Estimate, normal
from imprimatur_evaluators.statistics.moments import Moments

SPLITS = 8
SIZES = 15


def frechet_needs(width: int) -> int:
    """How many images a side needs for features of this width, so that the interval covers what it says."""
    return 2 * width + 2


def frechet_infinity_needs(width: int) -> int:
    """How many images a side needs for an extrapolation over 15 sizes, the smallest well above the width."""
    return 6 * width


def frechet_estimate(real: Any, generated: Any, *, seed: int) -> Estimate:
    """The distance between the populations behind real [n, d] and generated [m, d] features, n, m >= 2 d + 2.

    ``plug_in`` is the formula on these images; ``value`` is twice that less the mean over random halves of both sides,
    in which the bias of order 1 / n cancels. 16 distances, O((n + m) d^2 + d^3) each. Estimand: the populations' value.
    """
    sides = _Sides.of(real, generated)
    rng = np.random.default_rng(seed)
    halves = np.mean([sides.halved(rng) for _ in range(SPLITS)])
    weights = np.full(len(sides.real), 1 / len(sides.real)), np.full(len(sides.generated), 1 / len(sides.generated))
    return sides.estimate(2 * sides.plug_in - float(halves), *weights)


def frechet_distance_infinity(real: Any, generated: Any, *, seed: int) -> Estimate:
    """The distance extrapolated to infinitely many images of both sides, from real [n, d] and generated [m, d].

    A line over 1 / n through the distances of random subsets of 15 sizes, from a quarter of the images to all (Chong
    and Forsyth, 2020). Each image weighs in the variance as it does in the line's intercept. Needs n, m >= 6 d; TooFew
    otherwise. Estimand: the populations' value.
    """
    sides = _Sides.of(real, generated)
    for count in (len(sides.real), len(sides.generated)):
        require_count("the Frechet distance at infinity", count, frechet_infinity_needs(sides.real.shape[1]))
    shares = np.linspace(0.25, 1.0, SIZES)
    line = np.linalg.pinv(np.stack([np.ones(SIZES), 1 / shares], axis=1))[0]
    rng = np.random.default_rng(seed)
    value, weigh_real, weigh_generated = 0.0, np.zeros(len(sides.real)), np.zeros(len(sides.generated))
    for weight, share in zip(line, shares, strict=True):
        rows, columns = _subset(rng, len(sides.real), share), _subset(rng, len(sides.generated), share)
        value += weight * sides.distance(rows, columns)
        weigh_real[rows] += weight / len(rows)
        weigh_generated[columns] += weight / len(columns)
    return sides.estimate(value, weigh_real, weigh_generated)


def _subset(rng: np.random.Generator, n: int, share: float) -> np.ndarray:
    return rng.permutation(n)[: round(n * share)]


@dataclass(frozen=True, eq=False)
class _Sides:
    """Features of both sides with their moments, and the distance between them by the formula."""

    real: Array
    generated: Array
    first: Moments
    second: Moments
    plug_in: float

    @classmethod
    def of(cls, real: Any, generated: Any) -> _Sides:
        rows, columns = as_array(real), as_array(generated)
        first, second = Moments.from_features(rows), Moments.from_features(columns)
        return cls(rows, columns, first, second, frechet_distance(first, second))

    def distance(self, rows: np.ndarray, columns: np.ndarray) -> float:
        """The formula on a part of each side."""
        return frechet_distance(Moments.from_features(self.real[rows]), Moments.from_features(self.generated[columns]))

    def halved(self, rng: np.random.Generator) -> float:
        """The mean of the formula over two disjoint random halves of both sides."""
        firsts = _halves(self.real, self.first, rng)
        seconds = _halves(self.generated, self.second, rng)
        return float(np.mean([frechet_distance(a, b) for a, b in zip(firsts, seconds, strict=True)]))

    def estimate(self, value: float, weigh_real: Array, weigh_generated: Array) -> Estimate:
        """``value`` with the interval that follows from how much each image weighs in it."""
        influences = _influences(self)
        variance = float(
            influences.real.var(ddof=1) * np.square(weigh_real).sum()
            + influences.generated.var(ddof=1) * np.square(weigh_generated).sum()
        )
        interval = normal(value, variance).clipped(0.0)
        return Estimate(max(value, 0.0), interval, len(self.generated), self.plug_in)


def _halves(features: Array, whole: Moments, rng: np.random.Generator) -> tuple[Moments, Moments]:
    part = Moments.from_features(features[rng.permutation(len(features))[: len(features) // 2]])
    return part, whole.without(part)


@dataclass(frozen=True, eq=False)
class _Influences:
    """How much each image of either side moves the distance."""

    real: Array
    generated: Array


def _influences(sides: _Sides) -> _Influences:
    """With S1 = L L' and L' S2 L = Q D Q': T = L'^-1 Q D^(1/2) Q' L^-1 from real to generated, its inverse back."""
    first = sides.real - sides.first.mean
    second = sides.generated - sides.second.mean
    step = sides.second.mean - sides.first.mean
    factor = cholesky(sides.first.covariance)
    if factor is None:
        factor = _ridged(sides.first.covariance)
    values, vectors = np.linalg.eigh(whitened(sides.second.covariance, factor), UPLO="L")
    roots = np.sqrt(np.maximum(values, EPSILON * float(values[-1])))
    there = vectors.T @ solve_triangular(factor, first.T, lower=True)
    back = (second @ np.tril(factor)) @ vectors
    carried = np.square(there.T) @ roots
    returned = np.square(back) @ (1 / roots)
    return _Influences(
        np.square(first).sum(axis=1) - carried - 2 * first @ step,
        np.square(second).sum(axis=1) - returned + 2 * second @ step,
    )


def _ridged(covariance: Array) -> Array:
    """The factor of a singular covariance with as much added to its diagonal as rounding may have taken away."""
    ridge = EPSILON * len(covariance) * float(np.trace(covariance))
    while (factor := cholesky(covariance + ridge * np.eye(len(covariance)))) is None:
        ridge = max(10 * ridge, EPSILON)
    return factor
