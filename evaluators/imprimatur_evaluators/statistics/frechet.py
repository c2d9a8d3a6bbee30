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
from imprimatur_evaluators.statistics.moments import Moments

EPSILON = float(np.finfo(np.float64).eps)
FAST_PATH_ERROR = 1e-11
"""Largest error of the cross term, relative to the covariances' traces, that the fast path may have."""
_WIDE = 512
"""From this width on LAPACK's own routines are called: half the operations, and no product or copy that is not needed.
Below it numpy does the work; its threads and LAPACK's in turn would wait for each other longer than the work takes.
LAPACK counts by columns: a symmetric matrix is handed over transposed, which spares turning it round."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Moments that many others are compared with, their Cholesky factor stored; no factor where there is none."""

    moments: Moments
    factor: Array | None

    @classmethod
    def of(cls, moments: Moments) -> Reference:
        """The reference with these moments; d^3 / 3 operations that each distance then saves."""
        return cls(moments, cholesky(moments.covariance))


def frechet_distance(a: Moments | Reference, b: Moments) -> float:
    """The Frechet distance between two sets' moments of width d, never below zero; O(d^3).

    Relative error at most 1e-9, also where a covariance is singular or its condition is 1e15.

    >>> unit = np.eye(8)
    >>> frechet_distance(Moments(2, np.zeros(8), unit), Moments(2, np.ones(8), unit))
    8.0
    """
    first = a if isinstance(a, Reference) else Reference.of(a)
    step = first.moments.mean - b.mean
    traces = first.moments.trace + b.trace
    return max(float(step @ step) + traces - 2 * _cross_term(first, b, FAST_PATH_ERROR * traces), 0.0)


def cholesky(covariance: Array) -> Array | None:
    """The lower factor L [d, d] with L L' = covariance, None where it is not positive definite in float64.

    What stands above the diagonal is not to be read. The covariance may be written over: memory that is touched for the
    first time costs as much as the work itself.
    """
    if len(covariance) >= _WIDE:
        factor, failed = lapack.dpotrf(covariance.T, lower=1, clean=0, overwrite_a=1)
        return None if failed else np.asarray(factor)
    try:
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    except np.linalg.LinAlgError:
        return None


def whitened(covariance: Array, factor: Array) -> Array:
    """The lower half of L' S L [d, d] for a lower factor L; what stands above the diagonal is not to be read.

    The covariance may be written over.
    """
    if len(factor) < _WIDE:
        product: Array = factor.T @ covariance @ factor
        return product
    lower, _ = lapack.dsygst(covariance.T, factor, itype=2, lower=1, overwrite_a=1)
    return np.asarray(lower)


def _cross_term(first: Reference, second: Moments, allowed: float) -> float:
    """The nuclear norm of L1' L2: by the fast path where its error is at most ``allowed``."""
    fast = None if first.factor is None else _fast_cross_term(first.factor, second, allowed)
    return _rank_cut_cross_term(first.moments.covariance, second.covariance) if fast is None else fast


def _fast_cross_term(factor: Array, second: Moments, allowed: float) -> float | None:
    """The cross term from the spectrum of L1' S2 L1, or None where it cannot be trusted.

    A symmetric solver finds each eigenvalue v up to an error e of the order of eps * max(v), so that its root is off by
    at most min(sqrt(e), e / sqrt(v)).
    """
    spectrum = _spectrum(whitened(second.covariance, factor))
    if spectrum is None:
        return None
    error = EPSILON * len(spectrum) * float(spectrum[-1])
    roots = np.sqrt(np.maximum(spectrum, 0.0))
    bound = float(np.minimum(np.sqrt(error), error / np.maximum(roots, EPSILON)).sum())
    return None if bound > allowed else float(roots.sum())


def _spectrum(lower: Array) -> Array | None:
    """The eigenvalues [d], rising, of the symmetric matrix with this lower half, which may be written over.

    None where the iteration does not converge.
    """
    if len(lower) < _WIDE:
        return np.asarray(np.linalg.eigvalsh(lower, UPLO="L"), dtype=np.float64)
    size, _ = lapack.dsytrd_lwork(len(lower), lower=1)
    _, diagonal, beside, _, _ = lapack.dsytrd(lower, lower=1, lwork=int(size), overwrite_a=1)
    spectrum, failed = lapack.dsterf(diagonal, beside)
    return None if failed else np.asarray(spectrum)


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
