"""Retrieval accuracy and mean cosine."""

from __future__ import annotations

import numpy as np
import pytest

from imprimatur_evaluators.statistics.alignment import matches, mean_cosine, nearest_prompt, retrieval_accuracy

PROMPTS = np.eye(3)


def test_an_image_is_right_when_its_own_prompt_ranks_first() -> None:
    images = np.array([[1, 0.2, 0], [0.2, 1, 0], [0, 0.3, 1], [1, 0, 0.1]])
    found = retrieval_accuracy(matches(images, PROMPTS, np.array([0, 1, 2, 2])))
    assert (found.value, found.n) == (0.75, 4)
    assert found.interval.low == pytest.approx(0.1941, abs=1e-4)
    assert found.interval.high == pytest.approx(0.9937, abs=1e-4)


def test_a_tie_counts_against_the_image() -> None:
    found = matches(np.array([[1.0, 1.0, 0.0]] * 2), PROMPTS, np.array([0, 1]))
    assert retrieval_accuracy(found).value == 0.0


def test_lengths_do_not_matter() -> None:
    images, own = np.array([[1, 0.2, 0], [0.2, 1, 0.5]]), np.array([0, 1])
    one, other = matches(images, PROMPTS, own), matches(images * 7, PROMPTS * 0.1, own)
    np.testing.assert_allclose(one.cosine, other.cosine)
    np.testing.assert_allclose(one.margin, other.margin)


def test_the_mean_cosine_carries_students_interval() -> None:
    rng = np.random.default_rng(0)
    found = mean_cosine(matches(rng.normal(size=(50, 3)), PROMPTS, np.zeros(50, dtype=np.intp)))
    assert found.interval.low < found.value < found.interval.high


def test_the_nearest_prompt_labels_an_image() -> None:
    assert nearest_prompt(np.array([[0.1, 0.9, 0], [0, 0.1, 0.9]]), PROMPTS).tolist() == [1, 2]
