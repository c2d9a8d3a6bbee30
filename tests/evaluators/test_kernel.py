"""The kernel distance against its definition, and the variances that its interval is made of."""

from __future__ import annotations

import numpy as np
import pytest

from imprimatur_evaluators.statistics import kernel as kernels
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.intervals import jackknife_variance
from imprimatur_evaluators.statistics.kernel import Kernel, cmmd, gaussian, kernel_distance, polynomial


def _by_definition(x: Array, y: Array, kernel: Kernel = polynomial) -> float:
    xx, yy = kernel(x, x), kernel(y, y)
    n, m = len(x), len(y)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * kernel(x, y).mean())


def _sums(x: Array, y: Array) -> kernels._Sums:
    return kernels._Sums(
        kernels._within(x, polynomial), kernels._within(y, polynomial), kernels._between(x, y, polynomial)
    )


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


def test_the_jackknife_is_that_of_points_left_out_one_by_one() -> None:
    x, y = _pair(np.random.default_rng(0), n=12, m=9)
    without_x = np.array([_by_definition(np.delete(x, i, axis=0), y) for i in range(len(x))])
    without_y = np.array([_by_definition(x, np.delete(y, i, axis=0)) for i in range(len(y))])
    expected = jackknife_variance(without_x) + jackknife_variance(without_y)
    assert _sums(x, y).jackknife == pytest.approx(expected, rel=1e-9)


def test_the_variance_of_second_order_is_all_there_is_between_equal_populations() -> None:
    rng = np.random.default_rng(0)
    sums = [_sums(*_pair(rng, shift=0.0)) for _ in range(1500)]
    assert np.mean([one.second_order for one in sums]) == pytest.approx(np.var([one.value for one in sums]), rel=0.15)


def test_a_distance_from_the_origin_costs_the_gaussian_kernel_no_digits() -> None:
    x, y = _pair(np.random.default_rng(0))
    near, far = (kernel_distance(x + offset, y + offset, kernel=gaussian(2.0)).value for offset in (0.0, 1e6))
    assert far == pytest.approx(near, rel=1e-6)


def test_cmmd_is_the_gaussian_distance_of_unit_features_times_1000() -> None:
    x, y = _pair(np.random.default_rng(0), shift=2.0)
    first, second = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y))
    found = cmmd(x, y)
    assert found.value == pytest.approx(1000 * _by_definition(first, second, gaussian(10.0)), rel=1e-9)
    assert found.interval.low < found.value < found.interval.high
