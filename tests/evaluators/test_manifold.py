"""Precision, recall, density and coverage against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.statistics import manifold
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.manifold import neighbourhoods, precision_recall_density_coverage


def _radius(rows: Array, k: int) -> Array:
    radius: Array = np.sort(np.linalg.norm(rows[:, None] - rows[None], axis=2), axis=1)[:, k]
    return radius


def _by_definition(real: Array, fake: Array, k: int) -> list[float]:
    between = np.linalg.norm(real[:, None] - fake[None], axis=2)
    inside, outside_in = between < _radius(real, k)[:, None], between < _radius(fake, k)[None]
    found = inside.any(axis=0).mean(), outside_in.any(axis=1).mean(), inside.sum() / (k * len(fake)), inside.any(axis=1)
    return [float(np.mean(each)) for each in found]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_it_equals_the_definition(k: int) -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(70, 6)), rng.normal(size=(50, 6)) + 0.3
    found = precision_recall_density_coverage(real, fake, k)
    values = [found.precision.value, found.recall.value, found.density.value, found.coverage.value]
    assert values == pytest.approx(_by_definition(real, fake, k), rel=1e-12)


def test_a_set_against_itself_is_dense_and_covered() -> None:
    real = np.random.default_rng(0).normal(size=(200, 4))
    found = precision_recall_density_coverage(real, real)
    assert (found.density.value, found.coverage.value) == pytest.approx((1.0, 1.0))


def test_blocks_and_order_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(90, 4)), rng.normal(size=(80, 4))
    whole = precision_recall_density_coverage(real, fake)
    monkeypatch.setattr(manifold, "BLOCK", 17)
    cut = precision_recall_density_coverage(real[rng.permutation(90)], fake[rng.permutation(80)])
    assert cut.coverage.value == whole.coverage.value
    assert cut.recall == whole.recall
    assert cut.coverage.interval.low == pytest.approx(whole.coverage.interval.low, rel=0.05)
    assert cut.density.interval.low == pytest.approx(whole.density.interval.low, rel=1e-12)


def test_a_distance_from_the_origin_costs_no_digits() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(60, 3)), rng.normal(size=(50, 3))
    near, far = precision_recall_density_coverage(real, fake), precision_recall_density_coverage(real + 1e6, fake + 1e6)
    assert (near.density.value, near.coverage.value) == (far.density.value, far.coverage.value)


def test_equal_distributions_are_covered_to_one_less_a_power_of_a_half() -> None:
    rng = np.random.default_rng(0)
    found = [
        precision_recall_density_coverage(rng.normal(size=(500, 2)), rng.normal(size=(500, 2)), 3).coverage.value
        for _ in range(20)
    ]
    assert np.mean(found) == pytest.approx(1 - 2**-3, abs=0.01)


def test_a_lost_mode_lowers_coverage() -> None:
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(size=(200, 3)), rng.normal(size=(200, 3)) + 20])
    assert precision_recall_density_coverage(real, rng.normal(size=(400, 3))).coverage.interval.high < 0.6


def test_several_k_together_give_what_each_gives_alone() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(70, 6)), rng.normal(size=(50, 6)) + 0.3
    together = neighbourhoods(real, fake, [3, 5])
    assert all(together[k] == precision_recall_density_coverage(real, fake, k) for k in (3, 5))


def test_k_must_leave_a_neighbour() -> None:
    with pytest.raises(BadRequest, match="k must lie between 1") as caught:
        precision_recall_density_coverage(np.zeros((5, 2)), np.zeros((5, 2)), 5)
    assert caught.value.code == "bad-option"
