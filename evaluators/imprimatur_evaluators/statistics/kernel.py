"""The kernel distance (squared maximum mean discrepancy) between two feature distributions.

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y), a point never paired with itself     lower is better

As a full U-statistic it has no bias and may fall below zero. With the cubic polynomial kernel on Inception it is KID
(Binkowski et al., 2018); with a Gaussian kernel on CLIP it is CMMD (Jayasumana et al., 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from imprimatur_evaluators.statistics.arrays import Array, as_array
from imprimatur_evaluators.statistics.intervals import Estimate, Interval, jackknife_variance, normal, normal_quantile

Kernel = Callable[[Array, Array], Array]
BLOCK = 1024
CMMD_SIGMA = 10.0
CMMD_SCALE = 1000.0


def polynomial(a: Array, b: Array) -> Array:
    """The kernel (a.b / d + 1)^3 of each row of a [n, d] with each row of b [m, d]."""
    product: Array = a @ b.T / a.shape[1] + 1
    return product * product * product


def gaussian(sigma: float) -> Kernel:
    """The kernel exp(-|a - b|^2 / (2 sigma^2)).

    Both sides are moved by one point of ``a`` first, so that a common offset costs no digits in the expansion.
    """

    def kernel(a: Array, b: Array) -> Array:
        a, b = a - a[0], b - a[0]
        squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T
        values: Array = np.exp(-np.maximum(squared, 0.0) / (2 * sigma**2))
        return values

    return kernel


def cmmd(real: Any, generated: Any, sigma: float = CMMD_SIGMA) -> Estimate:
    """The kernel distance of unit features as CMMD scales it: Gaussian kernel, times 1,000 (Jayasumana et al., 2024).

    Features need not come at unit length: they are brought to it.
    """
    found = kernel_distance(_unit(as_array(real)), _unit(as_array(generated)), kernel=gaussian(sigma))
    interval = Interval(CMMD_SCALE * found.interval.low, CMMD_SCALE * found.interval.high)
    return Estimate(CMMD_SCALE * found.value, interval, found.n, CMMD_SCALE * found.plug_in)


def kernel_distance(x: Any, y: Any, *, kernel: Kernel = polynomial) -> Estimate:
    """The kernel distance between the populations behind x [n, d] and y [m, d], n, m >= 4, with its 95% interval.

    O((n + m)^2 d) time in blocks of bounded memory. ``n`` of the result counts ``y``, the generated side. Estimand: the
    populations' distance; see ``_interval`` for how it is covered where the populations hardly differ.

    >>> rng = np.random.default_rng(0)
    >>> kernel_distance(rng.normal(size=(50, 4)), rng.normal(size=(50, 4)) + 1).interval.low > 0
    True
    """
    first, second = as_array(x), as_array(y)
    sums = _Sums(_within(first, kernel), _within(second, kernel), _between(first, second, kernel))
    return Estimate(sums.value, _interval(sums), len(second), sums.value)


@dataclass(frozen=True, eq=False)
class _Block:
    """Kernel sums over rows [n] and columns [m], and of squares: what leaving one point out, and centring, need."""

    rows: Array
    columns: Array
    squares: float

    @property
    def total(self) -> float:
        return float(self.rows.sum())


@dataclass(frozen=True, eq=False)
class _Sums:
    """The sums within x, within y and between both; all that value and interval are made of."""

    x: _Block
    y: _Block
    across: _Block

    @property
    def value(self) -> float:
        """The U-statistic."""
        n, m = self.across.rows.size, self.across.columns.size
        return _mean_within(self.x) + _mean_within(self.y) - 2 * self.across.total / (n * m)

    @property
    def jackknife(self) -> float:
        """The jackknife's variance. It counts the variance of second order, of pairs, twice."""
        n, m = self.across.rows.size, self.across.columns.size
        without_x = _mean_without(self.x) - 2 * (self.across.total - self.across.rows) / ((n - 1) * m)
        without_y = _mean_without(self.y) - 2 * (self.across.total - self.across.columns) / ((m - 1) * n)
        return jackknife_variance(without_x) + jackknife_variance(without_y)

    @property
    def second_order(self) -> float:
        """The variance of second order, which is all that there is where the populations are equal."""
        n, m = self.across.rows.size, self.across.columns.size
        within = 2 * _centred_within(self.x) / (n * (n - 1)) + 2 * _centred_within(self.y) / (m * (m - 1))
        return within + 4 * _centred_across(self.across) / (n * m)


def _interval(sums: _Sums) -> Interval:
    """All distances t with (value - t)^2 <= z^2 (V2 + V1 t / value), a score interval.

    The variance of first order V1 grows in proportion to the distance itself, and vanishes with it: at t = 0 the test
    is that of equal populations, V2 alone. Where the value came out small, V1 is not known from it; so the upper end
    is at least that of the jackknife.
    """
    value, second = sums.value, max(sums.second_order, 0.0)
    first = max(sums.jackknife - 2 * second, 0.0)
    z = normal_quantile()
    slope = z * z * first / value if value > 0 else 0.0
    half = np.sqrt(slope * slope / 4 + z * z * second + slope * max(value, 0.0))
    low = value + slope / 2 - half
    if low < 0:
        low = normal(value, second).low
    high = max(value + slope / 2 + half, normal(value, sums.jackknife + second).high)
    return Interval(float(min(low, value)), float(high))


def _within(a: Array, kernel: Kernel) -> _Block:
    """Sums over pairs of one set [n, d], each pair once and counted twice; no point with itself."""
    sums, squares = np.zeros(len(a)), 0.0
    for top in range(0, len(a), BLOCK):
        for left in range(0, top + 1, BLOCK):
            block = kernel(a[top : top + BLOCK], a[left : left + BLOCK])
            if top == left:
                np.fill_diagonal(block, 0.0)
            else:
                sums[left : left + BLOCK] += block.sum(axis=0)
            sums[top : top + BLOCK] += block.sum(axis=1)
            squares += (1 if top == left else 2) * _squares(block)
    return _Block(sums, sums, squares)


def _between(a: Array, b: Array, kernel: Kernel) -> _Block:
    rows, columns, squares = np.zeros(len(a)), np.zeros(len(b)), 0.0
    for top in range(0, len(a), BLOCK):
        for left in range(0, len(b), BLOCK):
            block = kernel(a[top : top + BLOCK], b[left : left + BLOCK])
            rows[top : top + BLOCK] += block.sum(axis=1)
            columns[left : left + BLOCK] += block.sum(axis=0)
            squares += _squares(block)
    return _Block(rows, columns, squares)


def _mean_within(block: _Block) -> float:
    n = block.rows.size
    return block.total / (n * (n - 1))


def _mean_without(block: _Block) -> Array:
    """The mean over pairs [n] with each point left out once."""
    n = block.rows.size
    means: Array = (block.total - 2 * block.rows) / ((n - 1) * (n - 2))
    return means


def _centred_within(block: _Block) -> float:
    """The mean square of the doubly centred kernel over pairs of one set, without bias (Szekely and Rizzo, 2014)."""
    n, rows = block.rows.size, block.rows
    centred = block.squares - 2 / (n - 2) * _squares(rows) + block.total**2 / ((n - 1) * (n - 2))
    return centred / (n * (n - 3))


def _centred_across(block: _Block) -> float:
    n, m = block.rows.size, block.columns.size
    centred = block.squares - _squares(block.rows) / m - _squares(block.columns) / n
    return (centred + block.total**2 / (n * m)) / ((n - 1) * (m - 1))


def _squares(values: Array) -> float:
    """The sum of squares, added up in numpy's own order: BLAS's depends on how many threads it has."""
    return float(np.square(values).sum())


def _unit(rows: Array) -> Array:
    unit: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
