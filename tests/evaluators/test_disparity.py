"""Disparity: distances, what chance shows, the exact test's level and power, and the interval."""

from __future__ import annotations

import numpy as np
import pytest

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.disparity import (
    Disparity,
    disparity,
    null_expectation,
    total_variation,
)
from imprimatur_evaluators.statistics.divergence import divergence

UNIFORM = np.full(4, 0.25)
DRAWS = 300


def _found(shares: Array, n: int, runs: int, seed: int = 0) -> list[Disparity]:
    rng = np.random.default_rng(seed)
    return [
        disparity(rng.multinomial(n, shares), np.full(len(shares), 1 / len(shares)), seed=run, draws=DRAWS)
        for run in range(runs)
    ]


def test_the_distances_have_their_textbook_values() -> None:
    shares = np.array([0.7, 0.3])
    assert float(total_variation(shares, np.array([0.5, 0.5]))) == pytest.approx(0.2)
    assert float(divergence(shares, np.array([0.5, 0.5]))) == pytest.approx(0.7 * np.log(1.4) + 0.3 * np.log(0.6))
    assert float(divergence(np.array([1.0, 0.0]), np.array([0.5, 0.5]))) == pytest.approx(np.log(2))


@pytest.mark.parametrize(("n", "labels", "published"), [(8, 2, 0.137)])
def test_chance_shows_what_was_measured_for_heim(n: int, labels: int, published: float) -> None:
    assert null_expectation(n, np.full(labels, 1 / labels)) == pytest.approx(published, abs=1e-3)


def test_chance_shows_what_simulation_shows() -> None:
    target = np.array([0.6, 0.3, 0.1])
    drawn = np.random.default_rng(0).multinomial(37, target, size=40_000) / 37
    assert null_expectation(37, target) == pytest.approx(float(total_variation(drawn, target).mean()), rel=0.01)


def test_a_fair_generator_is_flagged_at_the_level_at_most() -> None:
    flagged = [one.p_value <= 0.05 for one in _found(UNIFORM, 100, 200)]
    assert np.mean(flagged) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert any(flagged)


def test_a_planted_skew_of_70_to_30_is_found() -> None:
    assert np.mean([one.p_value <= 0.05 for one in _found(np.array([0.7, 0.3]), 100, 100)]) > 0.9


@pytest.mark.parametrize(
    "shares",
    [
        pytest.param([0.25, 0.25, 0.25, 0.25], id="fair"),
        pytest.param([0.32, 0.18, 0.25, 0.25], id="two labels a little"),
        pytest.param([0.3, 0.2, 0.3, 0.2], id="all labels a little"),
        pytest.param([0.55, 0.15, 0.15, 0.15], id="one label much"),
        pytest.param([0.6, 0.4, 0.0, 0.0], id="labels never seen"),
    ],
)
def test_the_interval_covers_the_populations_disparity(shares: list[float]) -> None:
    population = np.array(shares)
    runs = _found(population, 100, 100, seed=4)
    for distance, estimates in (
        (total_variation, [one.total_variation for one in runs]),
        (divergence, [one.divergence for one in runs]),
    ):
        truth = float(distance(population, UNIFORM))
        covered = [one.interval.low <= truth + 1e-9 and truth <= one.interval.high + 1e-9 for one in estimates]
        assert np.mean(covered) >= 0.91


def test_the_value_lies_in_its_interval_and_not_above_the_plug_in() -> None:
    for one in _found(np.array([0.4, 0.2, 0.2, 0.2]), 80, 20):
        estimate = one.total_variation
        assert estimate.interval.low <= estimate.value <= estimate.interval.high
        assert estimate.value <= estimate.plug_in


def test_shares_equal_to_the_target_leave_zero_in_the_interval() -> None:
    found = disparity(np.array([25, 25, 25, 25]), UNIFORM, seed=0)
    assert (found.total_variation.value, found.total_variation.interval.low, found.p_value) == (0.0, 0.0, 1.0)


def test_the_order_of_labels_does_not_move_the_test() -> None:
    one = disparity(np.array([40, 30, 20, 10]), UNIFORM, seed=0)
    other = disparity(np.array([10, 20, 30, 40]), UNIFORM, seed=0)
    assert one.total_variation.plug_in == other.total_variation.plug_in
    assert one.total_variation.value == pytest.approx(other.total_variation.value, abs=0.02)


@pytest.mark.parametrize("target", [[0.5, 0.5, 0.0, 0.0], [0.5, 0.5], [0.5, 0.5, np.nan, 0.1], [-1, 1, 1, 1]])
def test_a_target_without_a_positive_share_for_each_label_is_refused(target: list[float]) -> None:
    with pytest.raises(BadRequest) as caught:
        disparity(np.array([1, 1, 1, 1]), np.array(target), seed=0)
    assert caught.value.code == "bad-target"
