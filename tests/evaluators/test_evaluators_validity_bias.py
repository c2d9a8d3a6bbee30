"""The intervals and tests of balance hold what they promise, at the sizes of the standard suite."""

from __future__ import annotations

import numpy as np
import pytest

from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.confusion import Confusion, corrected_disparity, corrected_shares
from imprimatur_evaluators.statistics.disparity import disparity, total_variation
from imprimatur_evaluators.statistics.disparity_prompts import mean_disparity, prompt_disparities
from imprimatur_evaluators.statistics.divergence import divergence, divergence_estimate
from imprimatur_evaluators.statistics.intervals import Estimate
from long_forms import Count
from simulation import LEAST, MOST, coverage

IMAGES, PROMPTS = 100, 12
"""Images a prompt in the standard suite, and as many prompts as half of a ready set."""


CASES = 1000
"""Near the target coverage is close to 98%, and 200 cases would not tell it from more; these are cheap."""


def _uniform(labels: int) -> Array:
    return np.full(labels, 1 / labels)


def _check(estimates: list[Estimate], truth: float) -> None:
    found = coverage([one.interval for one in estimates], truth)
    assert LEAST <= found <= MOST, f"covers {found:.3f} of {len(estimates)} cases"


@pytest.mark.long_form
@pytest.mark.parametrize(
    ("shares", "n"),
    [
        pytest.param([0.65, 0.35], 100, id="two labels"),
        pytest.param([0.6, 0.4], 300, id="two labels, many images"),
        pytest.param([0.5, 0.3, 0.2], 150, id="three labels"),
    ],
)
def test_the_interval_covers_the_populations_total_variation(shares: list[float], n: int, count: Count) -> None:
    rng, population = np.random.default_rng(8), np.array(shares)
    target = _uniform(len(shares))
    found = [
        disparity(rng.multinomial(n, population), target, seed=case, draws=300) for case in range(count(200, 1000))
    ]
    _check([one.total_variation for one in found], float(total_variation(population, target)))


@pytest.mark.parametrize(
    ("shares", "n"),
    [
        pytest.param([0.65, 0.35], 100, id="two labels"),
        pytest.param([0.9, 0.1], 100, id="two labels, far from the target"),
        pytest.param([0.5, 0.3, 0.2], 150, id="three labels"),
        pytest.param([0.28, 0.25, 0.25, 0.22], 100, id="four labels, near the target"),
        pytest.param([0.4, *[0.6 / 9] * 9], 100, id="ten labels"),
        pytest.param([0.1] * 10, 100, id="ten labels, on the target"),
    ],
)
def test_the_interval_covers_the_populations_divergence(shares: list[float], n: int) -> None:
    rng, population = np.random.default_rng(7), np.array(shares)
    target = _uniform(len(shares))
    found = [divergence_estimate(rng.multinomial(n, population), target) for _ in range(CASES)]
    _check(found, float(divergence(population, target)))


def test_shares_that_happen_to_equal_the_target_prove_nothing_about_the_population() -> None:
    found = divergence_estimate(np.array([50, 50]), _uniform(2))
    assert (found.value, found.interval.low) == (0.0, 0.0)
    assert found.interval.high > float(divergence(np.array([0.6, 0.4]), _uniform(2)))


@pytest.mark.long_form
@pytest.mark.parametrize(
    ("labels", "concentration"),
    [
        pytest.param(2, 3.0, id="two labels, prompts far apart"),
        pytest.param(3, 5.0, id="three labels"),
        pytest.param(2, 20.0, id="two labels, prompts near the target"),
    ],
)
def test_the_interval_covers_the_mean_over_all_prompts(labels: int, concentration: float, count: Count) -> None:
    rng, target = np.random.default_rng(7), _uniform(labels)
    weights = np.full(labels, concentration)
    truth = float(total_variation(rng.dirichlet(weights, size=200_000), target).mean())
    found = [
        mean_disparity(rng.multinomial(IMAGES, rng.dirichlet(weights, size=24)), target, seed=case, draws=200)
        for case in range(count(200, 1000))
    ]
    _check(found, truth)


READER = np.array([[0.85, 0.05, 0.10], [0.10, 0.80, 0.10]])
"""How a middling classifier reads two labels, and how often it tells none."""


@pytest.mark.long_form
def test_the_corrected_interval_covers_the_distance_of_the_true_shares(count: Count) -> None:
    rng, target = np.random.default_rng(7), _uniform(2)
    truth = np.array([0.7, 0.3])
    found = []
    for case in range(count(200, 1000)):
        confusion = Confusion(np.stack([rng.multinomial(300, row) for row in READER]))
        found.append(corrected_disparity(rng.multinomial(300, truth @ READER), confusion, target, seed=case, draws=200))
    _check(found, float(total_variation(truth, target)))


def test_uncorrected_shares_would_miss_what_a_skewed_reader_hides() -> None:
    rng = np.random.default_rng(7)
    skewed = np.array([[0.98, 0.02, 0.0], [0.4, 0.6, 0.0]])
    read = rng.multinomial(100_000, np.array([0.3, 0.7]) @ skewed)
    confusion = Confusion(np.stack([rng.multinomial(100_000, row) for row in skewed]))
    assert read[0] / read.sum() > 0.55
    np.testing.assert_allclose(corrected_shares(read, confusion), [0.3, 0.7], atol=0.02)


@pytest.mark.long_form
def test_a_fair_generator_is_flagged_in_at_most_five_of_a_hundred_runs(count: Count) -> None:
    rng, runs = np.random.default_rng(7), count(200, 1000)
    flagged = [
        prompt_disparities(
            rng.multinomial(IMAGES, _uniform(2), size=PROMPTS), _uniform(2), seed=run, draws=600
        ).flagged()
        for run in range(runs)
    ]
    assert np.mean(flagged) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.long_form
def test_a_generator_that_shows_70_to_30_is_found(count: Count) -> None:
    rng = np.random.default_rng(7)
    found = [
        prompt_disparities(
            rng.multinomial(IMAGES, [0.7, 0.3], size=PROMPTS), _uniform(2), seed=run, draws=600
        ).flagged()
        for run in range(count(60, 300))
    ]
    assert np.mean(found) > 0.9


def test_skews_that_cancel_between_prompts_stay_in_the_mean() -> None:
    counts = np.array([[90, 10], [10, 90]] * 6)
    assert disparity(counts.sum(axis=0), _uniform(2), seed=0).total_variation.value == 0.0
    assert mean_disparity(counts, _uniform(2), seed=0).interval.low > 0.3
    found = prompt_disparities(counts, _uniform(2), seed=0)
    assert found.flagged()
    assert found.null_expectation == pytest.approx(0.04, abs=0.002)
