"""Images are decoded within limits or refused by name; each resize mode does exactly what its source does."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from cleanfid.resize import build_resizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch.nn import functional
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from imprimatur_evaluators.errors import BadImage, BadRequest
from imprimatur_evaluators.images import (
    FloatImages,
    Limits,
    Picture,
    ResizeMode,
    checked,
    decode,
    image_digests,
    resize,
)


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


SIZES = [(32, 32), (400, 400), (300, 299), (61, 187), (187, 61), (7, 5)]


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def noise(request: pytest.FixtureRequest) -> Picture:
    """An image of each shape, with edges everywhere."""
    return np.random.default_rng(0).integers(0, 256, (*request.param, 3), dtype=np.uint8)


def _tensor(image: Picture) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float()


def _array(tensor: torch.Tensor) -> FloatImages:
    found: FloatImages = tensor[0].permute(1, 2, 0).numpy()
    return found


def test_clean_is_clean_fids_bit_by_bit(noise: Picture) -> None:
    assert np.array_equal(resize([noise], 299, "clean")[0], build_resizer("clean")(noise))


def test_legacy_tensorflow_is_torch_fidelitys_bit_by_bit(
    noise: Picture,
) -> None:
    expected = interpolate_bilinear_2d_like_tensorflow1x(_tensor(noise), (299, 299), align_corners=False)
    assert np.array_equal(resize([noise], 299, "legacy_tensorflow")[0], _array(expected))


def test_legacy_pytorch_is_torchs_bilinear(noise: Picture) -> None:
    expected = functional.interpolate(_tensor(noise), (299, 299), mode="bilinear", align_corners=False)
    # where each pixel is read is rounded to float32, and kernels do not agree on its last bit
    np.testing.assert_allclose(resize([noise], 299, "legacy_pytorch")[0], _array(expected), atol=2e-3)


@pytest.mark.parametrize(
    ("mode", "resize_mode", "interpolation"),
    [
        ("clip", "shortest", "bicubic"),
        ("clip_bilinear", "shortest", "bilinear"),
        ("squash", "squash", "bicubic"),
        ("squash_bilinear", "squash", "bilinear"),
    ],
)
def test_what_networks_see_is_what_open_clip_shows_them_bit_by_bit(
    noise: Picture, mode: str, resize_mode: str, interpolation: str
) -> None:
    none = PreprocessCfg(224, mean=(0, 0, 0), std=(1, 1, 1), interpolation=interpolation, resize_mode=resize_mode)
    expected = image_transform_v2(none, is_train=False)(Image.fromarray(noise))
    assert np.array_equal(resize([noise], 224, mode)[0] / np.float32(255), _array(expected[None]))


def test_letterbox_is_torchvisions_resize_and_padding(
    noise: Picture,
) -> None:
    height, width = (round(side * (224 / max(noise.shape[:2]))) for side in noise.shape[:2])
    inside = transforms.resize(_tensor(noise), [height, width], InterpolationMode.BICUBIC)
    down, right = 224 - height, 224 - width
    expected = transforms.pad(inside, [right // 2, down // 2, right - right // 2, down - down // 2])
    np.testing.assert_allclose(resize([noise], 224, "letterbox")[0], _array(expected), atol=0.01)


def test_bilinear_resizes_each_channel_in_float(picture: Image.Image) -> None:
    found = resize(np.asarray(picture)[None], 6, "bilinear")
    red = Image.fromarray(np.asarray(picture)[..., 0].astype(np.float32)).resize((6, 6), Image.Resampling.BILINEAR)
    assert np.array_equal(found[0, ..., 0], np.asarray(red))


@pytest.mark.parametrize("mode", ResizeMode)
def test_images_of_different_sizes_are_each_resized_as_if_alone(mode: ResizeMode) -> None:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in [(20, 30), (16, 16), (50, 9)]]
    together = resize(images, 16, mode)
    assert together.shape == (3, 16, 16, 3)
    assert together.dtype == np.float32
    for image, found in zip(images, together, strict=True):
        assert np.array_equal(resize(image[None], 16, mode)[0], found)
    assert np.array_equal(together[1], images[1])
    assert mode.words(16)


def test_no_images_are_resized_to_none() -> None:
    assert resize([], 16, "clean").shape == (0, 16, 16, 3)


def test_the_modes_do_not_agree_where_images_shrink() -> None:
    image = np.random.default_rng(2).integers(0, 256, (1, 400, 400, 3), dtype=np.uint8)
    seen = {mode: resize(image, 299, mode) for mode in ("clean", "legacy_tensorflow", "legacy_pytorch")}
    assert np.abs(seen["clean"] - seen["legacy_pytorch"]).mean() > 5
    assert np.abs(seen["legacy_tensorflow"] - seen["legacy_pytorch"]).mean() > 5


def test_an_unknown_mode_is_refused_with_all_there_are() -> None:
    with pytest.raises(BadRequest, match="legacy_tensorflow") as caught:
        resize([], 16, "nearest")
    assert caught.value.code == "unknown-resize-mode"


def test_an_array_that_holds_no_images_is_refused() -> None:
    with pytest.raises(BadImage, match="float64"):
        checked(np.zeros((2, 4, 4, 3)), "the set")  # type: ignore[arg-type]  # the mistake under test
