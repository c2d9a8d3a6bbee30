"""The extraction test: a planted memoriser is found, an innocent generator is flagged at the declared rate."""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from imprimatur_evaluators.errors import BadRequest, TooFew
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.extraction import (
    alike_group,
    calibrate_groups,
    disjoint_groups,
    extraction,
    group_level,
    group_levels,
)
from imprimatur_evaluators.statistics.similarity import Threshold, calibrate, nearest
from long_forms import Count

SEEDS, SIZE = 8, 3


class _World:
    """Captions, each with images of its own; a model either draws anew or returns what it was trained on."""

    def __init__(self, seed: int, width: int = 24) -> None:
        self.rng = np.random.default_rng(seed)
        self.width = width
        self.centres = self.rng.normal(size=(400, width)) * 0.7

    def real(self, captions: NDArray[np.intp]) -> Array:
        return _unit(self.centres[captions] + self.rng.normal(size=(len(captions), self.width)))

    def memorised(self, images: Array) -> Array:
        return _unit(images + self.rng.normal(size=images.shape) * 0.02)

    def threshold(self, rate: float, groups: int = 300) -> Threshold:
        """The threshold of groups of as many real images of one caption as the test generates."""
        captions = np.repeat(self.rng.integers(400, size=groups), SEEDS)
        names = [f"{group}" for group in np.repeat(np.arange(groups), SEEDS)]
        background = disjoint_groups(names, SEEDS, seed=0)
        return calibrate_groups(group_levels(self.real(captions), background, SIZE), rate)


def _unit(rows: Array) -> Array:
    unit: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def test_a_planted_memoriser_is_found_and_both_images_are_named() -> None:
    world = _World(0)
    training_captions = np.arange(100, dtype=np.intp)
    training = world.real(training_captions)
    repeated = np.repeat(training_captions, SEEDS)
    generated = world.real(repeated)
    learnt = range(30)
    for caption in learnt:  # of eight seeds, four give the training image back
        rows = caption * SEEDS + np.arange(4)
        generated[rows] = world.memorised(np.repeat(training[caption][None], 4, axis=0))
    member = calibrate(nearest(world.real(np.arange(100, 400, dtype=np.intp)), training).similarity, 0.01)
    found = extraction(
        generated,
        [f"caption {row}" for row in repeated],
        world.threshold(0.01),
        size=SIZE,
        training=training,
        training_threshold=member,
    )
    named = {one.training: one for one in found.captions if one.extracted}
    assert set(learnt) <= set(named)
    assert len(named) <= 33
    assert found.share.value == len(named) / 100
    for caption in learnt:
        assert set(named[caption].images) >= set(caption * SEEDS + np.arange(4))
        image = named[caption].image
        assert image is not None
        assert image in named[caption].images
        assert named[caption].training_similarity == pytest.approx(
            float(generated[image] @ training[caption]), rel=1e-12
        )


@pytest.mark.long_form
def test_an_innocent_generator_is_flagged_at_no_more_than_the_declared_rate(count: Count) -> None:
    """Over many worlds, each with a threshold of its own from 99 groups: one caption in a hundred, and not one pair."""
    runs = count(20, 100)
    flagged = captions = 0
    for run in range(runs):
        world = _World(run)
        drawn = np.repeat(world.rng.integers(400, size=50), SEEDS)
        names = [f"{group}" for group in np.repeat(np.arange(50), SEEDS)]
        found = extraction(world.real(drawn), names, world.threshold(0.01, groups=99), size=SIZE)
        flagged += sum(bool(one.images) for one in found.captions)
        captions += len(found.captions)
    spread = stats.betabinom(50, 1, 99).std() * np.sqrt(runs)
    assert abs(flagged - captions * 0.01) < 3 * spread


def test_a_constant_generator_that_knows_no_training_image_is_found_but_not_extracted() -> None:
    world = _World(1)
    training = world.real(np.arange(100, dtype=np.intp))
    image = world.real(np.array([250], dtype=np.intp))
    generated = world.memorised(np.repeat(image, SEEDS, axis=0))
    found = extraction(
        generated, ["one"] * SEEDS, world.threshold(0.01), size=SIZE, training=training, training_threshold=0.95
    )
    assert (found.found.value, found.share.value) == (1.0, 0.0)
    assert found.captions[0].training is not None


def test_the_share_does_not_depend_on_the_order_of_images() -> None:
    world = _World(2)
    captions = np.repeat(np.arange(20, dtype=np.intp), SEEDS)
    generated = world.real(captions)
    generated[: 5 * SEEDS] = world.memorised(np.repeat(generated[: 5 * SEEDS : SEEDS], SEEDS, axis=0))
    order = world.rng.permutation(len(captions))
    threshold = world.threshold(0.05)
    one = extraction(generated, [str(row) for row in captions], threshold, size=SIZE)
    other = extraction(generated[order], [str(row) for row in captions[order]], threshold, size=SIZE)
    assert one.share == other.share
    assert {c.caption: c.level for c in one.captions} == {c.caption: c.level for c in other.captions}
    members = {c.caption: set(c.images) for c in one.captions}
    assert members == {c.caption: {int(order[row]) for row in c.images} for c in other.captions}


@st.composite
def _graphs(draw: st.DrawFn) -> NDArray[np.bool_]:
    images = draw(st.integers(2, 9))
    alike = np.eye(images, dtype=np.bool_)
    for first, second in combinations(range(images), 2):
        alike[first, second] = alike[second, first] = draw(st.booleans())
    return alike


@given(_graphs(), st.integers(2, 6))
def test_a_group_is_found_exactly_where_there_is_one(alike: NDArray[np.bool_], size: int) -> None:
    groups = [
        members
        for members in combinations(range(len(alike)), size)
        if all(alike[pair] for pair in combinations(members, 2))
    ]
    found = alike_group(alike, size)
    assert bool(found) == bool(groups)
    if found:
        assert len(found) >= size
        assert all(alike[pair] for pair in combinations(found, 2))
        outside = set(range(len(alike))) - set(found)
        assert not any(alike[row, list(found)].all() for row in outside)


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
@settings(max_examples=50)
def test_the_level_is_the_weakest_pair_of_the_most_alike_group(seed: int, size: int) -> None:
    rows = _unit(np.random.default_rng(seed).normal(size=(7, 4)))
    cosines = rows @ rows.T
    cosines = (cosines + cosines.T) / 2
    weakest = [min(cosines[pair] for pair in combinations(group, 2)) for group in combinations(range(7), size)]
    level = group_level(cosines, size)
    assert level == max(weakest)
    assert not alike_group(cosines > level, size)
    assert alike_group(cosines >= level, size)


def test_five_hundred_seeds_and_groups_of_ten_take_little_time() -> None:
    """The counts of Carlini et al.; everything lies close together, which is the hard case."""
    rng = np.random.default_rng(3)
    rows = _unit(rng.normal(size=(500, 64)) * 0.05 + rng.normal(size=(1, 64)))
    started = time.perf_counter()
    level = group_level(rows @ rows.T, 10)
    assert len(alike_group(rows @ rows.T >= level, 10)) >= 10
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize("same_caption", [True, False])
def test_background_groups_are_disjoint_and_of_the_captions_asked_for(same_caption: bool) -> None:
    captions = [str(row % 7) for row in range(100)]
    groups = disjoint_groups(captions, 4, seed=0, same_caption=same_caption)
    rows = [int(row) for group in groups for row in group]
    assert len(rows) == len(set(rows))
    assert {len({captions[row] for row in group}) for group in groups} == {1 if same_caption else 4}
    assert len(groups) == (21 if same_caption else 25)
    again = disjoint_groups(captions, 4, seed=0, same_caption=same_caption)
    assert [group.tolist() for group in again] == [group.tolist() for group in groups]


def test_what_makes_no_test_is_refused() -> None:
    rows = _unit(np.random.default_rng(4).normal(size=(4, 6)))
    with pytest.raises(TooFew, match="'b' has 1 images") as caught:
        extraction(rows, ["a", "a", "a", "b"], 0.9, size=2)
    assert caught.value.facts == {"found": 1, "needed": 2}
    for captions, size, training in ((["a"] * 3, 2, None), ([], 2, None), (["a"] * 4, 1, None), (["a"] * 4, 2, rows)):
        with pytest.raises(BadRequest):
            extraction(rows, captions, 0.9, size=size, training=training)
    with pytest.raises(TooFew, match="at least 99 background groups") as caught:
        calibrate_groups(np.zeros(98), 0.01)
    assert caught.value.code == "too-few-groups"
