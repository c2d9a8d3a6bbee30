"""PDQ: the reference's hash and quality, the published rule, and planted copies of real photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pdqhash
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from imprimatur_evaluators.backbones.pdq import (
    LARGEST_DISTANCE,
    PdqBackbone,
    hamming,
    published_threshold,
    usable,
)
from imprimatur_evaluators.errors import BadImage, BadRequest
from imprimatur_evaluators.features import image_features
from imprimatur_evaluators.images import Images, Pixels
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.background import Background, false_positive_rate
from imprimatur_evaluators.statistics.similarity import nearest, share_above
from imprimatur_evaluators.works import ProtectedIndex, Work
from trained_digits import cropped, noised, recompressed, shifted


@pytest.fixture(scope="module")
def photographs() -> list[NDArray[np.uint8]]:
    """Two photographs [427, 640, 3] that scikit-learn carries."""
    return list(load_sample_images().images)


def _windows(photographs: list[NDArray[np.uint8]], side: int, step: int) -> Images:
    """All windows [side, side, 3] of the photographs, ``step`` pixels apart."""
    return np.stack(
        [
            photograph[top : top + side, left : left + side]
            for photograph in photographs
            for top in range(0, photograph.shape[0] - side, step)
            for left in range(0, photograph.shape[1] - side, step)
        ]
    )


@pytest.fixture(scope="module")
def views(photographs: list[NDArray[np.uint8]]) -> Images:
    """Forty-two different views [256, 256, 3] of the two photographs."""
    return _windows(photographs, 256, 57)


def _published(image: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], int]:
    """Hash and quality by the published description, in float64 and nothing of the reference's code.

    Two tent passes of box filters, every 64th part of the image, the quantised gradients, a cosine transform without
    its constant term, and the median.
    """
    luma = image.astype(np.float64) @ [0.299, 0.587, 0.114]
    if luma.shape != (64, 64):
        for _ in range(2):
            for axis in (1, 0):
                luma = _box(luma, axis)
    rows, columns = ((np.arange(64) + 0.5) * side / 64 for side in luma.shape)
    small = luma[np.ix_(rows.astype(int), columns.astype(int))]
    steps = [np.trunc(np.diff(small, axis=axis) * 100 / 255) for axis in (0, 1)]
    quality = min(100, int(sum(np.abs(step).sum() for step in steps) // 90))
    waves = np.cos(np.pi / 128 * np.outer(np.arange(1, 17), 2 * np.arange(64) + 1))
    spectrum = (waves @ small @ waves.T).ravel()
    return (spectrum > np.sort(spectrum)[127])[::-1], quality


def _box(luma: Array, axis: int) -> Array:
    """Means over a window of a 128th of the side, cut at the edges."""
    side = luma.shape[axis]
    window = -(-side // 128)
    sums = np.insert(np.cumsum(luma, axis=axis), 0, 0, axis=axis)
    first = np.arange(side) - (window - 1) // 2
    ends = np.clip(first + window, 0, side)
    starts = np.clip(first, 0, side)
    counts = np.expand_dims(ends - starts, 1 - axis)
    means: Array = (np.take(sums, ends, axis) - np.take(sums, starts, axis)) / counts
    return means


def test_hash_and_quality_are_those_of_the_published_description(
    photographs: list[NDArray[np.uint8]], views: Images
) -> None:
    images = [*photographs, *views, *_windows(photographs, 128, 64), views[3][:100, :77], views[0][:64, :64]]
    found = PdqBackbone().hashes(images)
    for image, bits, quality in zip(images, found.bits, found.quality, strict=True):
        expected_bits, expected_quality = _published(image)
        assert (bits != expected_bits).sum() <= 2  # float32 may tip a coefficient that is the median
        assert abs(int(quality) - expected_quality) <= 1
    assert found.quality.min() < 50 < found.quality.max()


def test_hash_and_quality_are_those_of_the_reference_to_the_bit(views: Images) -> None:
    found = PdqBackbone().hashes(list(views))
    for image, bits, quality in zip(views, found.bits, found.quality, strict=True):
        expected = pdqhash.compute(image)
        assert (bits.astype(int).tolist(), quality) == (expected[0].tolist(), expected[1])


def test_the_hash_is_of_the_picture_and_not_of_how_memory_holds_it(photographs: list[NDArray[np.uint8]]) -> None:
    """The bindings read memory in row order: on a transposed array they hash another picture."""
    image = photographs[0]
    turned = np.asfortranarray(image)
    assert (pdqhash.compute(turned)[0] != pdqhash.compute(image)[0]).sum() > 50
    assert PdqBackbone().hashes([turned]).hexadecimal() == PdqBackbone().hashes([image]).hexadecimal()


def test_hexadecimal_is_the_published_form(photographs: list[NDArray[np.uint8]]) -> None:
    (written,) = PdqBackbone().hashes(photographs[:1]).hexadecimal()
    bits = pdqhash.compute(photographs[0])[0]
    assert int(written, 16) == int("".join(str(bit) for bit in bits), 2)


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_the_cosine_says_the_hamming_distance(first: int, second: int) -> None:
    rows = np.array([[(number >> bit) & 1 for bit in range(256)] for number in (first, second)])
    features = (2 * rows - 1) / 16
    assert hamming(features[0] @ features[1]) == (first ^ second).bit_count()
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-15)


def test_the_published_threshold_is_exceeded_exactly_up_to_31_bits() -> None:
    cosines = 1 - np.arange(257) / 128
    assert (cosines > published_threshold()).sum() == LARGEST_DISTANCE + 1


def test_images_that_say_too_little_are_left_out_by_name(views: Images) -> None:
    images = [views[0], np.full((64, 64, 3), 128, dtype=np.uint8)]
    found = usable(["view", "grey"], PdqBackbone().hashes(images).quality)
    assert found.rows.tolist() == [0]
    assert [(one.image, one.quality) for one in found.dropped] == [("grey", 0)]
    with pytest.raises(BadRequest):
        usable(["one"], [1, 2])


def _halved(images: Images) -> Images:
    return _resized(images, images.shape[1] // 2)


def _shifted_a_little(images: Images) -> Images:
    return np.roll(images, 1, axis=2)


def _cropped_a_little(images: Images) -> Images:
    return _resized(images[:, 1:-1, 1:-1], images.shape[1])


def _resized(images: Images, side: int) -> Images:
    resized = [Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC) for image in images]
    return np.stack([np.asarray(image) for image in resized])


def _recall(tmp_path: Path, protected: Images, copies: Images) -> float:
    """The share of copies found by the published rule in an index of what they are copies of."""
    backbone = PdqBackbone()
    works = [Work(str(row), "View", "Estate of Amara Nwosu", "none", "a test", "") for row in range(len(protected))]
    index = ProtectedIndex.build(tmp_path, image_features(protected, backbone), works, backbone)
    found = index.nearest(image_features(copies, backbone))
    right = (found.similarity[:, 0] > published_threshold()) & (found.work[:, 0] == np.arange(len(protected)))
    return float(right.mean())


@pytest.mark.parametrize("change", [recompressed, noised, _halved, _shifted_a_little, _cropped_a_little])
def test_planted_copies_of_photographs_are_found(
    tmp_path: Path, views: Images, change: Callable[[Images], Images]
) -> None:
    assert _recall(tmp_path, views, change(views)) > 0.95


@pytest.mark.parametrize("change", [shifted, cropped])
def test_the_published_rule_misses_a_shift_or_a_crop_of_a_thirty_second(
    tmp_path: Path, views: Images, change: Callable[[Images], Images]
) -> None:
    """What a network finds and PDQ does not; the page on copyright says so."""
    assert _recall(tmp_path, views, change(views)) < 0.1


def test_low_quality_of_real_views_is_counted_and_listed(photographs: list[NDArray[np.uint8]]) -> None:
    quality = PdqBackbone().hashes(list(_windows(photographs, 128, 64))).quality
    found = usable([f"view {row}" for row in range(len(quality))], quality)
    assert len(found.rows) + len(found.dropped) == len(quality)
    assert {one.image for one in found.dropped} == {f"view {row}" for row in np.flatnonzero(quality <= 49)}
    assert len(found.dropped) > 0


def test_both_thresholds_are_measured_on_held_out_photographs(views: Images) -> None:
    """The views of one photograph are protected, those of the other held out."""
    backbone = PdqBackbone()
    works, held_out = (image_features(part, backbone) for part in np.split(views, 2))
    background = Background.of(nearest(held_out, works).similarity)
    published = false_positive_rate(background, published_threshold())
    assert (published.value, published.n) == (0.0, 21)
    calibrated = background.threshold(0.05)
    assert calibrated.value < published_threshold()
    assert share_above(background.similarities, calibrated).value <= 0.05


def test_features_do_not_depend_on_the_batch(views: Images) -> None:
    backbone = PdqBackbone()
    assert backbone.features(list(views[:5]))[3].tolist() == backbone.features([views[3]])[0].tolist()
    assert backbone.features([]).shape == (0, 256)


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (np.zeros((8, 8, 3), dtype=np.float32), "bad-array"),
        (np.zeros((8, 8), dtype=np.uint8), "bad-array"),
        (np.zeros((4, 90, 3), dtype=np.uint8), "image-too-small"),
    ],
)
def test_what_cannot_be_hashed_is_refused(image: Pixels, code: str) -> None:
    with pytest.raises(BadImage) as caught:
        PdqBackbone().features([image])
    assert caught.value.code == code


def test_identity_names_the_package_and_its_version() -> None:
    backbone = PdqBackbone()
    assert backbone.weights_digest != backbone.identity
    assert all(len(digest) == 71 for digest in (backbone.weights_digest, backbone.identity))
