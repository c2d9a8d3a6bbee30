"""The kernel distance (squared maximum mean discrepancy) between two feature distributions.

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y), a point never paired with itself     lower is better

As a full U-statistic it has no bias and may fall below zero. With the cubic polynomial kernel on Inception it is KID
(Binkowski et al., 2018); with a Gaussian kernel on CLIP it is CMMD (Jayasumana et al., 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.intervals import Estimate, jackknife_variance, normal

Kernel = Callable[[Array, Array], Array]
BLOCK = 1024


def polynomial(a: Array, b: Array) -> Array:
    """The kernel (a.b / d + 1)^3 of each row of a [n, d] with each row of b [m, d]."""
    product: Array = a @ b.T / a.shape[1] + 1
    return product * product * product


def gaussian(sigma: float) -> Kernel:
    """The kernel exp(-|a - b|^2 / (2 sigma^2))."""

    def kernel(a: Array, b: Array) -> Array:
        squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T
        values: Array = np.exp(-np.maximum(squared, 0.0) / (2 * sigma**2))
        return values

    return kernel


@dataclass(frozen=True, eq=False)
class _Sums:
    """Kernel sums over rows and over columns, from which leaving any one point out is arithmetic."""

    rows: Array
    columns: Array

    @property
    def total(self) -> float:
        return float(self.rows.sum())


def kernel_distance(x: Array, y: Array, *, kernel: Kernel = polynomial) -> Estimate:
    """The kernel distance between the populations behind x [n, d] and y [m, d], n, m >= 3, with a jackknife interval.

    O((n + m)^2 d) time in blocks of bounded memory. ``n`` of the result counts ``y``, the generated side.
    """
    n, m = len(x), len(y)
    within_x, within_y, across = _sums(x, x, kernel, same=True), _sums(y, y, kernel, same=True), _sums(x, y, kernel)
    mean_x, mean_y = within_x.total / (n * (n - 1)), within_y.total / (m * (m - 1))
    value = mean_x + mean_y - 2 * across.total / (n * m)
    without_x = (
        (within_x.total - 2 * within_x.rows) / ((n - 1) * (n - 2))
        + mean_y
        - 2 * (across.total - across.rows) / ((n - 1) * m)
    )
    without_y = (
        (within_y.total - 2 * within_y.rows) / ((m - 1) * (m - 2))
        + mean_x
        - 2 * (across.total - across.columns) / ((m - 1) * n)
    )
    variance = jackknife_variance(without_x) + jackknife_variance(without_y)
    return Estimate(value, normal(value, variance), m, value)


def _sums(a: Array, b: Array, kernel: Kernel, *, same: bool = False) -> _Sums:
    """Kernel sums of a [n, d] with b [m, d]; a point's value with itself is left out where both are the same set."""
    rows, columns = np.zeros(len(a)), np.zeros(len(b))
    for top in range(0, len(a), BLOCK):
        for left in range(0, len(b), BLOCK):
            block = kernel(a[top : top + BLOCK], b[left : left + BLOCK])
            if same and top == left:
                np.fill_diagonal(block, 0.0)
            rows[top : top + BLOCK] += block.sum(axis=1)
            columns[left : left + BLOCK] += block.sum(axis=0)
    return _Sums(rows, columns)
