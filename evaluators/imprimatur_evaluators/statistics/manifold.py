"""Precision, recall, density and coverage: how well two sets of features fill each other's neighbourhoods.

Each image owns a ball that reaches to its k-th nearest neighbour of its own set.

    precision  share of generated images inside some real ball              range [0, 1]
    recall     share of real images inside some generated ball              range [0, 1]
    density    mean over generated images of (real balls that hold it) / k  range [0, inf), 1 for equal distributions
    coverage   share of real balls that hold at least one generated image   range [0, 1], 1 - 2^-k for equal ones

Higher is better for all. Sources: Kynkaanniemi et al. (2019) for the first two, Naeem et al. (2020) for the others.
Each interval takes one side as given, and never resamples with replacement, which would break all four: repeated reals
shrink their balls, repeated generated images leave balls empty that new images would have filled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.statistics.arrays import Array, as_array
from imprimatur_evaluators.statistics.intervals import Estimate, binomial_share, student_mean, wilson

BLOCK = 1024
SPLITS = 50
_GROUPS = 8
_FALL = 0.75


@dataclass(frozen=True)
class Neighbourhoods:
    """The four scores of one comparison for one k.

    ``precision`` estimates the generator's share inside this reference's balls, ``recall`` the real population's share
    inside these generated images' balls: binomial, with the exact interval. ``density`` estimates the expectation
    against this reference, a mean over images. ``coverage`` estimates the expectation for this many generated images
    against this reference.
    """

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def precision_recall_density_coverage(real: Any, fake: Any, k: int = 5, *, seed: int = 0) -> Neighbourhoods:
    """The four scores of fake [m, d] against real [n, d] features, n, m > k, in blocks of bounded memory.

    O((n + m)^2 d). ``seed`` decides the random groups behind coverage's interval. Published: k=3 for precision and
    recall, k=5 for density and coverage.
    """
    return neighbourhoods(real, fake, [k], seed=seed)[k]


def neighbourhoods(real: Any, fake: Any, ks: Collection[int], *, seed: int = 0) -> Mapping[int, Neighbourhoods]:
    """The scores for each k of ``ks`` from one set of distances. BadRequest 'bad-option' where a k is too large."""
    rows, columns = as_array(real), as_array(fake)
    for k in ks:
        if not 1 <= k < min(len(rows), len(columns)):
            raise BadRequest(
                "bad-option",
                f"k must lie between 1 and the smaller set less one (got {k}, sets of {len(rows)} and {len(columns)})",
            )
    centre = rows.mean(axis=0)
    rows, columns = rows - centre, columns - centre
    tallies = {k: _Tally(len(rows), len(columns), k, seed) for k in ks}
    reach, other_reach = _radii(rows, ks), _radii(columns, ks)
    for part in _slices(len(rows)):
        squared = _squared_distances(rows[part], columns)
        for k, tally in tallies.items():
            tally.add(part, squared < reach[k][part, None], squared < other_reach[k][None])
    return {k: tally.scores() for k, tally in tallies.items()}


class _Tally:
    """What is counted for one k while the distances go by, real images in rows and generated ones in columns."""

    def __init__(self, n: int, m: int, k: int, seed: int) -> None:
        self.k = k
        self.holding = np.zeros(m)
        self.reached = np.zeros(n, dtype=bool)
        self.covered = np.zeros(n, dtype=bool)
        rng = np.random.default_rng(seed)
        self.groups = np.stack([rng.permutation(m) % _GROUPS for _ in range(SPLITS)])
        self.members = np.eye(_GROUPS, dtype=np.float32)[self.groups].transpose(1, 0, 2).reshape(m, -1)
        self.touched = {groups: np.zeros((SPLITS, groups)) for groups in (2, 4, 8)}

    def add(self, part: slice, inside: np.ndarray, outside_in: np.ndarray) -> None:
        """Take in which generated images lie in these reals' balls, and these reals in which generated balls."""
        self.holding += inside.sum(axis=0)
        self.covered[part] = inside.any(axis=1)
        self.reached[part] = outside_in.any(axis=1)
        counts = (inside.astype(np.float32) @ self.members).reshape(len(inside), SPLITS, _GROUPS)
        for groups, touched in self.touched.items():
            touched += (counts.reshape(len(inside), SPLITS, groups, -1).sum(axis=3) > 0).sum(axis=0)

    def scores(self) -> Neighbourhoods:
        """The scores, once all reals went by."""
        n, m = len(self.covered), len(self.holding)
        return Neighbourhoods(
            precision=binomial_share(int((self.holding > 0).sum()), m),
            recall=binomial_share(int(self.reached.sum()), n),
            density=student_mean(self.holding / self.k),
            coverage=_coverage(self.covered, {groups: each / n for groups, each in self.touched.items()}, m),
        )


def _coverage(covered: np.ndarray, touched: Mapping[int, Array], m: int) -> Estimate:
    """The share of balls that hold an image, with Wilson's interval for as many balls as they are worth.

    Balls overlap, so that n of them are worth n / e independent ones. For disjoint groups of b images e(b) is known
    without bias: the variance of coverage between the groups, relative to a binomial share's. From m / 4 to m / 2
    images it falls by some factor; to m it is taken to fall by three quarters of that (as a power), since the fall
    slows down, and never below 3/4. Simulated, this errs a little on the wide side.
    """
    value = float(covered.mean())
    quarter, half = (_overlap(touched[groups], len(covered)) for groups in (4, 2))
    effect = max(half * min(half / quarter, 1.0) ** _FALL, _FALL)
    return Estimate(value, wilson(value, len(covered) / effect), m, value)


def _overlap(shares: Array, n: int) -> float:
    """How many times the variance of shares [splits, groups] of n balls is that of independent ones; at least 1e-3."""
    mean = float(shares.mean())
    variance = float(shares.var(axis=1, ddof=1).mean())
    return max(variance * n / max(mean * (1 - mean), 1e-12), 1e-3)


def _radii(rows: Array, ks: Collection[int]) -> Mapping[int, Array]:
    """For each k the squared distance [n] from each point to its k-th nearest other one."""
    places = [k - 1 for k in ks]
    found = np.empty((len(rows), len(places)))
    for part in _slices(len(rows)):
        among = _squared_distances(rows[part], rows)
        among[np.arange(part.stop - part.start), np.arange(part.start, part.stop)] = np.inf
        found[part] = np.partition(among, places, axis=1)[:, places]
    return {k: found[:, place] for place, k in enumerate(ks)}


def _slices(n: int) -> Iterator[slice]:
    return (slice(top, min(top + BLOCK, n)) for top in range(0, n, BLOCK))


def _squared_distances(a: Array, b: Array) -> Array:
    """Squared distances [n, m]; both sides come centred, which keeps the digits that the expansion would lose."""
    squared: Array = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T
    return np.maximum(squared, 0.0)
