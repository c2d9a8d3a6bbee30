"""Each different image is embedded once; the cache changes no feature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imprimatur_evaluators.errors import EvaluatorError
from imprimatur_evaluators.features import FeatureCache, embed, image_features

from .conftest import Digits, PixelBackbone


def test_features_stand_in_the_order_of_the_images(digits: Digits, pixels: PixelBackbone) -> None:
    images = digits.images[:50]
    np.testing.assert_array_equal(embed(images, pixels), image_features(images, pixels))


def test_an_image_that_comes_twice_is_embedded_once(digits: Digits, pixels: PixelBackbone) -> None:
    images = digits.images[[0, 1, 0, 0, 2, 1]]
    found = embed(images, pixels)
    assert pixels.asked == 3
    np.testing.assert_array_equal(found[0], found[3])


def test_a_second_run_comes_from_the_cache_bit_by_bit(digits: Digits, pixels: PixelBackbone, tmp_path: Path) -> None:
    images, cache = digits.images[:40], FeatureCache(tmp_path)
    first = embed(images, pixels, cache)
    asked = pixels.asked
    second = embed(images[::-1], pixels, FeatureCache(tmp_path))
    assert pixels.asked == asked == 40
    np.testing.assert_array_equal(first, second[::-1])


def test_another_backbone_or_protocol_has_features_of_its_own(
    digits: Digits, pixels: PixelBackbone, tmp_path: Path
) -> None:
    cache = FeatureCache(tmp_path)
    embed(digits.images[:5], pixels, cache)
    other = PixelBackbone(digits.part(slice(0, 300)))
    other.identity = "sha256:other"
    embed(digits.images[:5], other, cache)
    assert other.asked == 5
    pixels.protocol = "another resize mode"
    embed(digits.images[:5], pixels, cache)
    assert pixels.asked == 10


def test_a_damaged_file_is_named(digits: Digits, pixels: PixelBackbone, tmp_path: Path) -> None:
    embed(digits.images[:1], pixels, FeatureCache(tmp_path))
    (kept,) = tmp_path.rglob("*.feature")
    whole = bytearray(kept.read_bytes())
    for damaged in (b"broken", whole[:-8], bytes([whole[0] ^ 1]) + whole[1:], whole[:-1] + bytes([whole[-1] ^ 1])):
        kept.write_bytes(damaged)
        with pytest.raises(EvaluatorError, match=kept.name) as caught:
            embed(digits.images[:1], pixels, FeatureCache(tmp_path))
        assert caught.value.code == "cache-damaged"


def test_nothing_half_written_stays(digits: Digits, pixels: PixelBackbone, tmp_path: Path) -> None:
    embed(digits.images[:10], pixels, FeatureCache(tmp_path))
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".feature"}
