"""Images are decoded within limits or refused by name; resizing is what its mode says."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from imprimatur_evaluators.errors import BadImage
from imprimatur_evaluators.images import Limits, checked, decode, image_digests, resize


def _encoded(pixels: Image.Image, kind: str = "PNG") -> bytes:
    written = BytesIO()
    pixels.save(written, kind)
    return written.getvalue()


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, size=(12, 9, 3), dtype=np.uint8))


def test_a_png_comes_back_as_it_was(picture: Image.Image) -> None:
    assert np.array_equal(decode(_encoded(picture), "one.png"), np.asarray(picture))


def test_a_grey_image_becomes_three_equal_channels(picture: Image.Image) -> None:
    found = decode(_encoded(picture.convert("L")), "one.png")
    assert found.shape == (12, 9, 3)
    assert np.array_equal(found[..., 0], found[..., 2])


def _refusal(data: bytes, name: str, limits: Limits | None = None) -> BadImage:
    with pytest.raises(BadImage) as caught:
        decode(data, name, limits)
    assert name in caught.value.message
    return caught.value


def test_bytes_that_are_no_image_are_refused_by_name() -> None:
    assert _refusal(b"not an image", "one.png").code == "not-an-image"
    assert _refusal(b"", "empty.png").code == "not-an-image"


def test_a_truncated_image_is_refused(picture: Image.Image) -> None:
    assert _refusal(_encoded(picture)[:-60], "cut.png").code == "broken-image"
    assert _refusal(_encoded(picture, "JPEG")[:-100], "cut.jpg").code == "broken-image"


def test_a_mislabelled_image_is_refused(picture: Image.Image) -> None:
    refused = _refusal(_encoded(picture, "JPEG"), "really-a-jpeg.png")
    assert refused.code == "mislabelled-image"
    assert "JPEG" in refused.message


def test_a_format_outside_the_three_is_refused(picture: Image.Image) -> None:
    assert _refusal(_encoded(picture, "BMP"), "one.bmp").code == "not-an-image"


def test_too_many_pixels_are_refused_before_decoding(picture: Image.Image) -> None:
    assert _refusal(_encoded(picture), "huge.png", Limits(pixels=100)).code == "too-many-pixels"


def test_too_many_bytes_are_refused(picture: Image.Image) -> None:
    assert _refusal(_encoded(picture), "huge.png", Limits(encoded_bytes=20)).code == "image-too-large"


def test_a_header_that_promises_gigapixels_is_refused(picture: Image.Image) -> None:
    bomb = bytearray(_encoded(picture))
    bomb[16:24] = (100_000).to_bytes(4) * 2
    assert _refusal(bytes(bomb), "bomb.png").code in {"too-many-pixels", "not-an-image"}


def test_sixteen_bits_are_refused_not_clipped() -> None:
    deep = Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16))
    assert _refusal(_encoded(deep), "deep.png").code == "unsupported-mode"


def test_the_digest_is_of_the_picture_not_of_its_file(picture: Image.Image) -> None:
    small, large = BytesIO(), BytesIO()
    picture.save(small, "PNG", compress_level=9)
    picture.save(large, "PNG", compress_level=0)
    first, second = decode(small.getvalue(), "a.png"), decode(large.getvalue(), "b.png")
    assert image_digests(first[None]) == image_digests(second[None])
    assert image_digests(first[None]) != image_digests(255 - first[None])


def test_the_digest_knows_height_from_width() -> None:
    flat = np.zeros((1, 2, 8, 3), dtype=np.uint8)
    assert image_digests(flat) != image_digests(flat.reshape(1, 8, 2, 3))


def test_a_size_that_fits_is_left_alone(picture: Image.Image) -> None:
    images = np.asarray(picture.resize((8, 8)))[None]
    assert np.array_equal(resize(images, 8), images.astype(np.float32))


def test_bicubic_resizes_each_channel_in_float_without_rounding(picture: Image.Image) -> None:
    found = resize(np.asarray(picture)[None], 32, "bicubic")
    red = Image.fromarray(np.asarray(picture)[..., 0].astype(np.float32)).resize((32, 32), Image.Resampling.BICUBIC)
    assert found.shape == (1, 32, 32, 3)
    assert np.array_equal(found[0, ..., 0], np.asarray(red))
    assert np.any(found % 1 != 0)


def test_an_array_that_holds_no_images_is_refused() -> None:
    with pytest.raises(BadImage, match="float64"):
        checked(np.zeros((2, 4, 4, 3)), "the set")  # type: ignore[arg-type]  # the mistake under test
