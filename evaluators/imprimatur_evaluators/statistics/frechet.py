"""The Frechet distance between two feature distributions, seen as Gaussians.

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1^(1/2) S2 S1^(1/2))^(1/2)          range [0, inf), lower is better

Source: Dowson and Landau (1982); as a score for generators Heusel et al. (2017). On the 2015 Inception it is FID.
The last term is the nuclear norm of L1' L2 where S = L L'. It comes from a Cholesky factor and one symmetric spectrum
where that is accurate enough by a bound on the spectrum's error, otherwise from factors cut at their numerical rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.intervals import Estimate, basic, bootstrap, corrected

EPSILON = float(np.finfo(np.float64).eps)
FAST_PATH_ERROR = 1e-11
"""Largest error of the cross term, relative to the covariances' traces, that the fast path may have."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean [d] and scatter [d, d] (sum of centred outer products) of features; merging equals one pass."""

    n: int
    mean: Array
    scatter: Array

    @classmethod
    def from_features(cls, features: Array) -> Moments:
        """The moments of ``features`` [n, d], n >= 1."""
        rows = np.asarray(features, dtype=np.float64)
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls(len(rows), mean, centred.T @ centred)

    @classmethod
    def empty(cls, width: int) -> Moments:
        """The moments of no features of this width: merging them changes nothing."""
        return cls(0, np.zeros(width), np.zeros((width, width)))

    @property
    def covariance(self) -> Array:
        """The unbiased covariance [d, d]; zero where there is one image only."""
        return self.scatter / max(self.n - 1, 1)

    def update(self, features: Array) -> Moments:
        """The moments of what was seen so far and of ``features`` [n, d]."""
        return self.merge(Moments.from_features(features))

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets together (Chan, Golub and LeVeque, 1979); keeps the digits that squares lose."""
        n = self.n + other.n
        step = other.mean - self.mean
        part = other.n / max(n, 1)
        return Moments(
            n,
            self.mean + step * part,
            self.scatter + other.scatter + np.outer(step, step) * (self.n * part),
        )


def frechet_distance(a: Moments, b: Moments) -> float:
    """The Frechet distance between two sets' moments, never below zero.

    >>> unit = np.eye(8)
    >>> frechet_distance(Moments(2, np.zeros(8), unit), Moments(2, np.ones(8), unit))
    8.0
    """
    step = a.mean - b.mean
    traces = float(np.trace(a.covariance) + np.trace(b.covariance))
    return max(float(step @ step) + traces - 2 * _cross_term(a.covariance, b.covariance), 0.0)


def _cross_term(first: Array, second: Array) -> float:
    """The nuclear norm of L1' L2, by the fast path where its error is bounded well enough."""
    fast = _fast_cross_term(first, second)
    return _rank_cut_cross_term(first, second) if fast is None else fast


def _fast_cross_term(first: Array, second: Array) -> float | None:
    """The cross term from a Cholesky factor and the spectrum of L1' S2 L1, or None where it cannot be trusted.

    A symmetric solver finds each eigenvalue v up to an error e of the order of eps * max(v), so that its root is off by
    at most min(sqrt(e), e / sqrt(v)).
    """
    factor, failed = lapack.dpotrf(first, lower=1, clean=1)
    if failed:
        return None
    spectrum = np.linalg.eigvalsh(factor.T @ second @ factor)
    error = EPSILON * len(spectrum) * float(spectrum[-1])
    roots = np.sqrt(np.maximum(spectrum, 0.0))
    bound = float(np.minimum(np.sqrt(error), error / np.maximum(roots, EPSILON)).sum())
    if bound > FAST_PATH_ERROR * float(np.trace(first) + np.trace(second)):
        return None
    return float(roots.sum())


def _rank_cut_cross_term(first: Array, second: Array) -> float:
    """The cross term from factors of numerical rank: singular values lose no digits to squaring."""
    product = _factor(first).T @ _factor(second)
    return float(np.linalg.svd(product, compute_uv=False).sum())


def _factor(covariance: Array) -> Array:
    """L [d, rank] with L L' equal to the covariance, without the directions that are rounding."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > EPSILON * len(values) * max(float(values[-1]), 0.0)
    factor: Array = vectors[:, kept] * np.sqrt(values[kept])
    return factor


def frechet_needs(width: int) -> int:
    """How many images a side needs for features of this width, so that the interval below covers what it says."""
    return 2 * width


def frechet_estimate(real: Array, generated: Array, *, seed: int, replicates: int = 300) -> Estimate:
    """The distance between the populations behind real [n, d] and generated [m, d] features, with the basic bootstrap.

    Both sides are resampled: both are samples. ``plug_in`` is the formula on these images, which is too large by a bias
    that falls with their number; ``value`` is corrected for it.
    """
    plug_in = frechet_distance(Moments.from_features(real), Moments.from_features(generated))

    def again(rows: Array, columns: Array) -> float:
        return frechet_distance(Moments.from_features(real[rows]), Moments.from_features(generated[columns]))

    spread = bootstrap(again, [len(real), len(generated)], replicates=replicates, seed=seed)
    value = max(corrected(plug_in, spread), 0.0)
    return Estimate(value, basic(plug_in, spread).clipped(0.0), len(generated), plug_in)
