"""Planted copies on a trained network: what a person would call a copy is found, at a declared rate of false alarms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from imprimatur_evaluators.backbones import JointBackbone
from imprimatur_evaluators.features import image_features
from imprimatur_evaluators.images import Images
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.similarity import calibrate, nearest
from trained_digits import TRAINED_ON, cropped, enlarged_digits, noised, recompressed, shifted, trained_clip

WORKS = 60
COLLECTIONS = 5


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> JointBackbone:
    return trained_clip(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def collections(clip: JointBackbone) -> list[tuple[Array, float]]:
    """Five collections of 60 protected works each, with the threshold at 1% on 597 held-out real digits."""
    images, _ = enlarged_digits()
    held_out = image_features(images[TRAINED_ON:], clip)
    works = np.split(image_features(images[: WORKS * COLLECTIONS], clip), COLLECTIONS)
    return [(own, calibrate(nearest(held_out, own).similarity, 0.01).value) for own in works]


@pytest.mark.parametrize(
    "change",
    [
        recompressed,
        noised,
        cropped,
        *(partial(shifted, down=down, right=right) for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0))),
    ],
)
def test_planted_copies_are_found_with_recall_above_95_percent(
    clip: JointBackbone, collections: list[tuple[Array, float]], change: Callable[[Images], Images]
) -> None:
    images, _ = enlarged_digits()
    copies = np.split(image_features(change(images[: WORKS * COLLECTIONS]), clip), COLLECTIONS)
    found = []
    for (works, threshold), changed in zip(collections, copies, strict=True):
        closest = nearest(changed, works)
        found.append((closest.similarity > threshold) & (closest.work == np.arange(WORKS)))
    assert np.mean(found) > 0.95


def test_half_of_the_held_out_digits_pass_a_threshold_set_on_the_other_half(clip: JointBackbone) -> None:
    images, _ = enlarged_digits()
    works, held_out = image_features(images[:WORKS], clip), image_features(images[TRAINED_ON:], clip)
    similarities = nearest(held_out, works).similarity
    calibrating, passing = similarities[::2], similarities[1::2]
    hits = (passing > calibrate(calibrating, 0.01).value).sum()
    assert hits <= 0.01 * len(passing) + 3 * np.sqrt(len(passing) * 0.01 * 0.99 * 2)
