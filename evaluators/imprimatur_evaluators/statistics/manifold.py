"""Density and coverage: how well generated images fill the neighbourhoods of the real ones.

Each real image owns a ball that reaches to its k-th nearest real neighbour (Naeem et al., 2020).

    density   mean over generated images of (balls that hold it) / k      range [0, inf), 1 for equal distributions
    coverage  share of balls that hold at least one generated image       range [0, 1], 1 - 2^-k for equal distributions

Higher is better for both. Their intervals cover the expectation for this many generated images against *this* set of
reals. Resampling with replacement would break both: repeated reals shrink their balls, repeated generated images leave
balls empty that new images would have filled. So the interval is Student's over the images' own densities, and for
coverage the jackknife, which never repeats an image. It errs on the wide side, and is never narrower than one ball.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.intervals import Estimate, jackknife_variance, normal, student_mean

BLOCK = 1024


@dataclass(frozen=True)
class DensityCoverage:
    """Both scores of one comparison."""

    density: Estimate
    coverage: Estimate


def density_coverage(real: Array, generated: Array, k: int = 5) -> DensityCoverage:
    """Density and coverage of generated [m, d] in real [n, d] features, n > k, m >= 2, in blocks of bounded memory."""
    if not 1 <= k < len(real):
        raise BadRequest(
            "bad-option", f"k must lie between 1 and the number of reals less one (got {k}, {len(real)} reals)"
        )
    centre = real.mean(axis=0)
    real, generated = real - centre, generated - centre
    holding = np.zeros(len(generated))
    held, keeper = np.zeros(len(real), dtype=np.intp), np.zeros(len(real), dtype=np.intp)
    for rows, inside in _insides(real, generated, k):
        holding += inside.sum(axis=0)
        held[rows], keeper[rows] = inside.sum(axis=1), inside.argmax(axis=1)
    return DensityCoverage(student_mean(holding / k), _coverage(held, keeper, len(generated)))


def _coverage(held: np.ndarray, keeper: np.ndarray, m: int) -> Estimate:
    """The share of balls that hold an image; leaving an image out empties the balls that hold it alone."""
    value = float((held > 0).mean())
    alone = np.bincount(keeper[held == 1], minlength=m)
    variance = max(jackknife_variance(value - alone / len(held)), 1 / len(held) ** 2)
    return Estimate(value, normal(value, variance).clipped(0.0, 1.0), m, value)


def _insides(real: Array, generated: Array, k: int) -> Iterator[tuple[slice, np.ndarray]]:
    """For one block of reals after another: which generated images [rows, m] lie strictly inside their balls."""
    for top in range(0, len(real), BLOCK):
        rows = slice(top, min(top + BLOCK, len(real)))
        among = _squared_distances(real[rows], real)
        among[np.arange(rows.stop - top), np.arange(top, rows.stop)] = np.inf
        radius = np.partition(among, k - 1, axis=1)[:, k - 1]
        yield rows, _squared_distances(real[rows], generated) < radius[:, None]


def _squared_distances(a: Array, b: Array) -> Array:
    """Squared distances [n, m]; both sides come centred, which keeps the digits that the expansion would lose."""
    squared: Array = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T
    return np.maximum(squared, 0.0)
