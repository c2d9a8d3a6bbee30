"""What the background promises: false alarms at the declared rate, honest intervals, exact tests."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from imprimatur_evaluators.errors import BadRequest, TooFew
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.background import (
    Background,
    false_alarms,
    false_positive_rate,
    quantile,
    quantile_needs,
    replication,
    share_at_rate,
)
from imprimatur_evaluators.statistics.intervals import clopper_pearson
from imprimatur_evaluators.statistics.similarity import calibrate, score_normalised, share_above
from long_forms import Count

_SIMILARITIES = st.lists(st.floats(-1, 1, allow_nan=False), min_size=99, max_size=300)


def _covers(hits: int, cases: int) -> None:
    assert 0.92 <= hits / cases <= 0.98, (hits, cases)


@given(_SIMILARITIES, st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.3]), st.floats(-1, 1))
def test_above_the_threshold_is_a_p_value_of_at_most_the_rate(
    held_out: list[float], rate: float, similarity: float
) -> None:
    background = Background.of(held_out)
    for value in (similarity, held_out[0]):
        assert (value > background.threshold(rate).value) == (background.p_value(value) <= rate + 1e-12)


@given(_SIMILARITIES)
def test_a_background_survives_json_and_does_not_depend_on_order(held_out: list[float]) -> None:
    background = Background.of(held_out)
    assert Background.parse(json.loads(json.dumps(background.document()))) == background
    assert Background.of(held_out[::-1]) == background


def test_a_background_that_contradicts_itself_is_refused() -> None:
    good = Background.of([0.1, 0.5]).document()
    for change in ({"n": 3}, {"similarities": [0.5, 0.1]}, {"n": 0, "similarities": []}):
        with pytest.raises(BadRequest) as caught:
            Background.parse({**good, **change})
        assert caught.value.code == "bad-background"
    with pytest.raises(BadRequest):
        Background.of([0.1, np.nan])


@pytest.mark.long_form
@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_a_calibrated_threshold_lets_through_the_declared_rate_within_binomial_error(rate: float, count: Count) -> None:
    """Over many calibrations on 597 images, new reals pass at (n + 1 - rank) / (n + 1), just below the rate."""
    rng, cases, new = np.random.default_rng(0), count(200, 1000), 500
    held_out, passing = rng.beta(6, 2, (cases, 597)), rng.beta(6, 2, (cases, new))
    hits = [(row > calibrate(own, rate).value).sum() for own, row in zip(held_out, passing, strict=True)]
    expected = false_alarms(np.zeros(new), calibrate(held_out[0], rate)).expected
    spread = stats.betabinom(new, round(expected / new * 598), 598 - round(expected / new * 598)).std()
    assert 0.8 * rate * new < expected <= rate * new
    assert abs(np.mean(hits) - expected) < 3 * spread / np.sqrt(cases)


@pytest.mark.long_form
@pytest.mark.parametrize(("truth", "n"), [(0.05, 500), (0.1, 200), (0.3, 200), (0.82, 200)])
def test_the_interval_of_the_share_covers_the_share_given_the_threshold(truth: float, n: int, count: Count) -> None:
    cases = count(200, 1000)
    threshold = float(stats.norm.isf(truth))
    drawn = np.random.default_rng(1).normal(size=(cases, n))
    intervals = [share_above(row, threshold).interval for row in drawn]
    _covers(sum(one.low <= truth <= one.high for one in intervals), cases)
    exact = sum(
        float(stats.binom.pmf(hits, n, truth))
        for hits in range(n + 1)
        if clopper_pearson(hits, n).low <= truth <= clopper_pearson(hits, n).high
    )
    assert 0.95 <= exact <= 0.98


@pytest.mark.long_form
@pytest.mark.parametrize(
    ("rate", "n", "held_out"), [(0.01, 200, 597), (0.01, 1000, 300), (0.05, 200, 597), (0.05, 500, 300)]
)
def test_the_interval_at_a_rate_covers_the_share_above_the_true_threshold(
    rate: float, n: int, held_out: int, count: Count
) -> None:
    """For generators from harmless to nearly always above the threshold, and none of them below 92%."""
    rng, cases, covered = np.random.default_rng(2), count(1000, 3000), []
    for shift in (1.0, 2.0, 3.0):
        truth = float(stats.norm.sf(stats.norm.isf(rate) - shift))
        found = [
            share_at_rate(rng.normal(shift, 1, n), Background.of(rng.normal(size=held_out)), rate).interval
            for _ in range(cases)
        ]
        covered.append(sum(one.low <= truth <= one.high for one in found))
    assert min(covered) >= 0.92 * cases
    _covers(sum(covered), 3 * cases)


def test_the_interval_at_a_rate_is_wider_than_given_the_threshold() -> None:
    rng = np.random.default_rng(3)
    background, generated = Background.of(rng.normal(size=300)), rng.normal(2, 1, 500)
    wide = share_at_rate(generated, background, 0.01)
    given_it = share_above(generated, background.threshold(0.01))
    assert wide.value == given_it.value
    assert wide.interval.high - wide.interval.low > 1.5 * (given_it.interval.high - given_it.interval.low)


@pytest.mark.parametrize(("generated", "end"), [(np.full(50, -1.0), "low"), (np.full(50, 2.0), "high")])
def test_the_interval_at_a_rate_reaches_the_end_that_every_image_is_at(generated: Array, end: str) -> None:
    found = share_at_rate(generated, Background.of(np.linspace(0, 1, 500)), 0.05)
    assert getattr(found.interval, end) == found.value == (0.0 if end == "low" else 1.0)
    assert found.interval.low < found.interval.high


@pytest.mark.long_form
@pytest.mark.parametrize(("n", "held_out"), [(200, 597), (1000, 199)])
def test_an_innocent_generator_is_flagged_in_at_most_5_percent_of_runs(n: int, held_out: int, count: Count) -> None:
    """Given the threshold as the true one, a binomial test would flag more the fewer held-out images it rests on."""
    rng, cases = np.random.default_rng(4), count(200, 1000)
    flagged = naive = 0
    for _ in range(cases):
        threshold = calibrate(rng.normal(size=held_out), 0.01)
        found = false_alarms(rng.normal(size=n), threshold)
        flagged += found.p_value <= 0.05
        naive += stats.binom.sf(found.hits - 1, n, 0.01) <= 0.05
    assert flagged / cases <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / cases)
    if n > held_out:
        assert naive / cases > 0.1


def test_the_test_of_false_alarms_is_exact() -> None:
    """Enumerated: of all orders in which 3 generated and 19 held-out images can stand, those with two hits or more."""
    threshold = calibrate(np.linspace(0, 1, 19), 0.1)
    found = false_alarms([5.0, 5.0, -5.0], threshold)
    above = 2  # of 19 held-out the 18th is the threshold, so two places lie above it
    orders = [(first, second, third) for first in range(20) for second in range(20) for third in range(20)]
    weights = [_order_weight(order) for order in orders]
    tail = sum(
        weight for order, weight in zip(orders, weights, strict=True) if sum(gap >= 20 - above for gap in order) >= 2
    )
    assert found.p_value == pytest.approx(tail / sum(weights), rel=1e-9)
    assert (found.hits, found.n) == (2, 3)
    assert found.expected == pytest.approx(3 * above / 20)


def _order_weight(gaps: tuple[int, int, int]) -> int:
    """In how many ways three images stand in these gaps between held-out ones: those that share one change places."""
    ways = 1
    for gap in set(gaps):
        ways *= int(np.prod(range(1, gaps.count(gap) + 1)))
    return ways


@pytest.mark.long_form
@pytest.mark.parametrize(("share", "n"), [(0.75, 200), (0.9, 200), (0.95, 597)])
def test_the_interval_of_a_percentile_covers_the_populations(share: float, n: int, count: Count) -> None:
    cases = count(200, 1000)
    drawn = np.random.default_rng(5).normal(size=(cases, n))
    truth = float(stats.norm.ppf(share))
    intervals = [quantile(row, share).interval for row in drawn]
    _covers(sum(one.low <= truth <= one.high for one in intervals), cases)


def test_a_percentile_of_too_few_images_says_how_many_it_needs() -> None:
    assert quantile(np.arange(72.0), 0.95).interval.high == 71.0
    with pytest.raises(TooFew, match="at least 72"):
        quantile(np.arange(71.0), 0.95)
    assert quantile_needs(0.05) == 72


def test_the_report_of_percentiles_holds_both_sides() -> None:
    rng = np.random.default_rng(6)
    generated, held_out = rng.uniform(0.2, 0.8, 200), rng.uniform(0, 0.6, 300)
    found = replication(generated, Background.of(held_out))
    assert found.share_above_half.value == (generated > 0.5).mean()
    assert found.generated.p95.value == pytest.approx(np.quantile(generated, 0.95))
    assert found.real.p75.value == pytest.approx(np.quantile(held_out, 0.75))
    assert found.generated.p75.interval.low > found.real.p75.interval.high


def test_a_published_thresholds_rate_is_measured() -> None:
    assert false_positive_rate(Background.of([0.1, 0.5, 0.75, 0.8]), 0.75).value == 0.25


def _unit(rng: np.random.Generator, n: int, width: int = 12) -> Array:
    rows = rng.normal(size=(n, width)) + np.linspace(0, 2, width)
    unit: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


@pytest.mark.parametrize("neighbours", [None, 1, 5])
def test_normalising_scores_keeps_the_order_of_works_for_each_image(neighbours: int | None) -> None:
    rng = np.random.default_rng(7)
    images, works, background = _unit(rng, 30), _unit(rng, 40), _unit(rng, 50)
    cosines = images @ works.T
    normal = score_normalised(cosines, images, background, neighbours=neighbours)
    assert np.argsort(normal, axis=1).tolist() == np.argsort(cosines, axis=1).tolist()
    near = np.sort(images @ background.T, axis=1)[:, -(neighbours or 50) :].mean(axis=1)
    np.testing.assert_allclose(normal, cosines - near[:, None], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(score_normalised(cosines, images, background, beta=0.0), cosines)


def test_normalising_scores_finds_copies_that_crowded_images_hide() -> None:
    """Half of the images lie in a crowd, near to everything; copies of the others are no nearer than the crowd is."""
    rng = np.random.default_rng(8)
    crowd = rng.normal(size=(1, 24)) * 3

    def draw(n: int, *, crowded: bool) -> Array:
        rows = rng.normal(size=(n, 24)) + (crowd if crowded else 0)
        unit: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    works, background, held_out = (
        np.concatenate([draw(n, crowded=True), draw(n, crowded=False)]) for n in (50, 100, 200)
    )
    copies = works[50:] + rng.normal(size=(50, 24)) * 0.12
    copies /= np.linalg.norm(copies, axis=1, keepdims=True)

    def recall(normalise: bool) -> float:
        both = [(rows @ works.T).max(axis=1) for rows in (held_out, copies)]
        if normalise:
            both = [
                score_normalised(found, rows, background, neighbours=10)
                for found, rows in zip(both, (held_out, copies), strict=True)
            ]
        return share_above(both[1], calibrate(both[0], 0.01)).value

    assert recall(normalise=True) > recall(normalise=False) + 0.2
