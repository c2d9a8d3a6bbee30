"""Similarity to protected works: nearest pairs, the calibrated threshold, the share of hits."""

from __future__ import annotations

import numpy as np
import pytest

from imprimatur_evaluators.errors import BadRequest, TooFew
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.similarity import calibrate, nearest, share_above


def _unit(rng: np.random.Generator, n: int, width: int = 16) -> Array:
    rows = rng.normal(size=(n, width))
    unit: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def test_the_nearest_work_is_the_one_of_the_largest_cosine() -> None:
    rng = np.random.default_rng(0)
    images, works = _unit(rng, 60), _unit(rng, 40)
    found = nearest(images, works)
    cosines = images @ works.T
    assert found.work.tolist() == cosines.argmax(axis=1).tolist()
    np.testing.assert_allclose(found.similarity, cosines.max(axis=1), rtol=1e-14)


def test_a_copy_has_similarity_one_to_float64() -> None:
    works = _unit(np.random.default_rng(0), 5)
    np.testing.assert_allclose(nearest(works, works).similarity, 1.0, rtol=1e-14)


def test_of_equal_works_the_first_is_named() -> None:
    work = _unit(np.random.default_rng(0), 1)
    assert nearest(work, np.concatenate([work, work, work])).work.tolist() == [0]


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_new_reals_exceed_the_threshold_at_the_declared_rate(rate: float) -> None:
    rng = np.random.default_rng(1)
    false_alarms = [
        float((rng.beta(3, 4, size=2000) > calibrate(rng.beta(3, 4, size=400), rate).value).mean()) for _ in range(300)
    ]
    assert np.mean(false_alarms) <= rate + 3 * np.std(false_alarms) / np.sqrt(300)
    assert np.mean(false_alarms) >= 0.7 * rate


def test_at_most_the_rate_of_the_held_out_exceeds_its_own_threshold() -> None:
    held_out = np.random.default_rng(0).random(597)
    assert (held_out > calibrate(held_out, 0.01).value).mean() <= 0.01


def test_too_few_held_out_images_say_how_many_are_needed() -> None:
    with pytest.raises(TooFew, match="at least 99 images") as caught:
        calibrate(np.random.default_rng(0).random(98), 0.01)
    assert (caught.value.code, caught.value.facts) == ("too-few-images", {"found": 98, "needed": 99})
    assert calibrate(np.random.default_rng(0).random(99), 0.01).n == 99


def test_the_rate_lies_between_zero_and_one() -> None:
    with pytest.raises(BadRequest):
        calibrate(np.zeros(500), 0.0)


def test_hits_are_strictly_above_the_threshold() -> None:
    threshold = calibrate(np.linspace(0, 1, 199), 0.01)
    found = share_above(np.array([threshold.value, 2.0, 2.0, 0.0]), threshold)
    assert (found.value, found.n) == (0.5, 4)
