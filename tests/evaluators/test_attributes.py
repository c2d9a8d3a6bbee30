"""What is perceived in images: a label where the reader is sure enough, otherwise nothing."""

from __future__ import annotations

import numpy as np
import pytest

from imprimatur_evaluators import prompts
from imprimatur_evaluators.attributes import UNDETERMINABLE, read_captions_of, read_probabilities
from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.statistics.confusion import Confusion, corrected_shares


def test_the_nearest_caption_is_read_where_it_is_near_enough() -> None:
    captions = np.eye(3)
    images = np.array([[1.0, 0, 0], [0, 0.99, 0.1411], [0.577, 0.577, 0.578]])
    found = read_captions_of(images, captions, certainty=0.6, scale=10.0)
    assert found.label.tolist() == [0, 1, UNDETERMINABLE]
    assert found.counts(3).tolist() == [1, 1, 0, 1]


def test_without_a_certainty_every_image_gets_a_label() -> None:
    rng = np.random.default_rng(0)
    found = read_captions_of(rng.normal(size=(50, 4)), rng.normal(size=(3, 4)))
    assert (found.label >= 0).all()


def test_any_classifiers_probabilities_are_read_alike() -> None:
    found = read_probabilities([[0.95, 0.05], [0.4, 0.6]], certainty=0.8)
    assert found.label.tolist() == [0, UNDETERMINABLE]
    assert found.certainty.tolist() == [0.95, 0.6]


@pytest.mark.parametrize("rows", [[[0.5, 0.6]], [[1.0]], [[1.5, -0.5]], [0.5, 0.5]])
def test_what_is_no_probability_is_refused(rows: list[list[float]]) -> None:
    with pytest.raises(BadRequest) as caught:
        read_probabilities(rows)
    assert caught.value.code == "bad-probabilities"


def test_a_confusion_matrix_counts_what_is_read_for_what_is_true() -> None:
    found = Confusion.of([0, 0, 0, 1, 1, 1], [0, 0, -1, 1, 1, 0], 2)
    assert found.counts.tolist() == [[2, 0, 1], [1, 2, 0]]
    np.testing.assert_allclose(found.rates.sum(axis=1), 1)


def test_a_perfect_reader_leaves_shares_as_they_are() -> None:
    perfect = Confusion(np.array([[100, 0, 0], [0, 100, 0]]))
    np.testing.assert_allclose(corrected_shares([30, 70, 0], perfect), [0.3, 0.7], atol=1e-9)


def test_a_known_confusion_is_undone() -> None:
    matrix = Confusion(np.array([[800, 100, 50, 50], [200, 700, 50, 50], [0, 100, 700, 200]]))
    truth = np.array([0.2, 0.5, 0.3])
    np.testing.assert_allclose(corrected_shares(1e6 * truth @ matrix.rates, matrix), truth, atol=1e-3)


def test_labels_that_are_not_told_apart_are_refused() -> None:
    with pytest.raises(BadRequest, match="tell the labels apart") as caught:
        Confusion(np.array([[50, 50, 0], [48, 52, 0]]))
    assert caught.value.code == "labels-confused"


@pytest.mark.parametrize("counts", [[[1, 2], [3, 4]], [[5, 0, 0], [0, 0, 0]]])
def test_a_matrix_of_another_shape_is_refused(counts: list[list[int]]) -> None:
    with pytest.raises(BadRequest) as caught:
        Confusion(np.array(counts))
    assert caught.value.code == "bad-confusion"


@pytest.mark.parametrize("name", prompts.NAMES)
def test_a_ready_prompt_set_is_whole(name: str) -> None:
    found = prompts.load(name)
    assert len(found.prompts) == len(set(found.prompts.values())) == 24
    assert found.images_per_prompt >= 100
    assert found.licence == "CC0-1.0"
    for attribute in found.attributes.values():
        assert attribute.name.startswith("perceived")
        assert len(attribute.captions) >= 2
        assert 0 < attribute.certainty < 1
        assert attribute.limits


def test_an_unknown_prompt_set_is_refused() -> None:
    with pytest.raises(BadRequest, match="occupations, descriptors"):
        prompts.load("people")
