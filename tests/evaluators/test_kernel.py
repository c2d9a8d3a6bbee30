"""The kernel distance against its definition, and its interval."""

from __future__ import annotations

import numpy as np
import pytest

from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.intervals import jackknife_variance, normal
from imprimatur_evaluators.statistics.kernel import Kernel, gaussian, kernel_distance, polynomial


def _by_definition(x: Array, y: Array, kernel: Kernel = polynomial) -> float:
    xx, yy = kernel(x, x), kernel(y, y)
    n, m = len(x), len(y)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * kernel(x, y).mean())


def _pair(rng: np.random.Generator, n: int = 40, m: int = 30, shift: float = 0.3) -> tuple[Array, Array]:
    return rng.normal(size=(n, 5)), rng.normal(size=(m, 5)) + shift


@pytest.mark.parametrize("kernel", [polynomial, gaussian(2.0)])
def test_it_equals_the_definition(kernel: Kernel) -> None:
    x, y = _pair(np.random.default_rng(0))
    assert kernel_distance(x, y, kernel=kernel).value == pytest.approx(_by_definition(x, y, kernel), rel=1e-12)


def test_blocks_do_not_change_it() -> None:
    x, y = _pair(np.random.default_rng(0), n=1500, m=1100)
    assert kernel_distance(x, y).value == pytest.approx(_by_definition(x, y), rel=1e-9)


def test_order_does_not_change_it() -> None:
    rng = np.random.default_rng(0)
    x, y = _pair(rng)
    shuffled = kernel_distance(x[rng.permutation(len(x))], y)
    assert shuffled.value == pytest.approx(kernel_distance(x, y).value, rel=1e-9)


def test_it_has_no_bias_and_may_be_negative() -> None:
    rng = np.random.default_rng(0)
    values = [kernel_distance(*_pair(rng, shift=0.0)).value for _ in range(100)]
    assert min(values) < 0
    assert abs(np.mean(values)) < 3 * np.std(values) / 10


def test_the_interval_is_the_jackknife_over_both_sides() -> None:
    x, y = _pair(np.random.default_rng(0), n=12, m=9)
    without_x = np.array([_by_definition(np.delete(x, i, axis=0), y) for i in range(len(x))])
    without_y = np.array([_by_definition(x, np.delete(y, i, axis=0)) for i in range(len(y))])
    expected = normal(_by_definition(x, y), jackknife_variance(without_x) + jackknife_variance(without_y))
    found = kernel_distance(x, y).interval
    assert found.low == pytest.approx(expected.low, rel=1e-9)
    assert found.high == pytest.approx(expected.high, rel=1e-9)


def test_the_interval_covers_the_populations_distance() -> None:
    rng = np.random.default_rng(3)
    found = [kernel_distance(*_pair(rng, n=100, m=80, shift=0.5)) for _ in range(200)]
    truth = np.mean([kernel_distance(*_pair(rng, n=600, m=600, shift=0.5)).value for _ in range(60)])
    assert sum(one.interval.low <= truth <= one.interval.high for one in found) >= 182
