"""Density and coverage against their definition, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.statistics import manifold
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.manifold import density_coverage


def _by_definition(real: Array, fake: Array, k: int) -> tuple[float, float]:
    among = np.linalg.norm(real[:, None] - real[None], axis=2)
    radius = np.sort(among, axis=1)[:, k]
    inside = np.linalg.norm(real[:, None] - fake[None], axis=2) < radius[:, None]
    return float(inside.sum() / (k * len(fake))), float(inside.any(axis=1).mean())


@pytest.mark.parametrize("k", [1, 3, 5])
def test_it_equals_the_definition(k: int) -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(70, 6)), rng.normal(size=(50, 6)) + 0.3
    found = density_coverage(real, fake, k)
    assert (found.density.value, found.coverage.value) == pytest.approx(_by_definition(real, fake, k), rel=1e-12)


def test_a_set_against_itself_is_dense_and_covered() -> None:
    real = np.random.default_rng(0).normal(size=(200, 4))
    found = density_coverage(real, real)
    assert (found.density.value, found.coverage.value) == pytest.approx((1.0, 1.0))


def test_blocks_and_order_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(90, 4)), rng.normal(size=(80, 4))
    whole = density_coverage(real, fake)
    monkeypatch.setattr(manifold, "BLOCK", 17)
    cut = density_coverage(real[rng.permutation(90)], fake[rng.permutation(80)])
    assert cut.coverage.value == whole.coverage.value
    assert cut.coverage.interval.low == pytest.approx(whole.coverage.interval.low, rel=1e-12)
    assert cut.density.interval.low == pytest.approx(whole.density.interval.low, rel=1e-12)


def test_a_distance_from_the_origin_costs_no_digits() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(60, 3)), rng.normal(size=(50, 3))
    near, far = density_coverage(real, fake), density_coverage(real + 1e6, fake + 1e6)
    assert (near.density.value, near.coverage.value) == (far.density.value, far.coverage.value)


def test_equal_distributions_are_covered_to_one_less_a_power_of_a_half() -> None:
    rng = np.random.default_rng(0)
    found = [
        density_coverage(rng.normal(size=(500, 2)), rng.normal(size=(500, 2)), 3).coverage.value for _ in range(20)
    ]
    assert np.mean(found) == pytest.approx(1 - 2**-3, abs=0.01)


def test_a_lost_mode_lowers_coverage() -> None:
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(size=(200, 3)), rng.normal(size=(200, 3)) + 20])
    assert density_coverage(real, rng.normal(size=(400, 3))).coverage.interval.high < 0.6


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_the_intervals_cover_the_expectation_against_this_reference(scale: float) -> None:
    rng = np.random.default_rng(5)
    real = rng.normal(size=(200, 4))
    found = [density_coverage(real, scale * rng.normal(size=(150, 4))) for _ in range(300)]
    for estimates in ([one.density for one in found], [one.coverage for one in found]):
        truth = np.mean([one.value for one in estimates])
        covered = [one.interval.low <= truth <= one.interval.high for one in estimates[:200]]
        assert np.mean(covered) >= 0.92


def test_k_must_leave_a_neighbour() -> None:
    with pytest.raises(BadRequest, match="k must lie between 1") as caught:
        density_coverage(np.zeros((5, 2)), np.zeros((5, 2)), 5)
    assert caught.value.code == "bad-option"
