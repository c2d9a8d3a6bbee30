"""The same images give the same scores from whichever source, and nothing is dropped without a word."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imprimatur_evaluators.errors import BadImage, BadRequest
from imprimatur_evaluators.features import Embedder, FeatureCache
from imprimatur_evaluators.images import Images, Limits
from imprimatur_evaluators.sources import EncodedPicture, Source, source_of
from imprimatur_evaluators.suite import MetricRequest, References, Sample, measure

from .conftest import Digits, PixelBackbone


def _png(image: Images, kind: str = "PNG") -> bytes:
    written = BytesIO()
    Image.fromarray(image).save(written, kind)
    return written.getvalue()


def _folder(images: Images, root: Path) -> Path:
    for row, image in enumerate(images):
        path = root / "images" / f"{row % 3}" / f"{row:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_png(image))
    (root / "images" / "notes.txt").write_text("no image")
    return root / "images"


def _parquet(images: Images, root: Path) -> Path:
    pq.write_table(pa.table({"image": [_png(image) for image in images]}), root / "images.parquet")
    return root / "images.parquet"


def _tars(images: Images, root: Path) -> Path:
    folder = root / "shards"
    folder.mkdir()
    for shard in range(3):
        with tarfile.open(folder / f"shard-{shard}.tar", "w") as opened:
            for row in range(shard, len(images), 3):
                data = _png(images[row])
                member = tarfile.TarInfo(f"{row:04}.png")
                member.size = len(data)
                opened.addfile(member, BytesIO(data))
    return folder


SOURCES = [_folder, _parquet, _tars]


@pytest.mark.parametrize("make", SOURCES)
def test_scores_do_not_depend_on_where_images_come_from(
    make: Callable[[Images, Path], Path], digits: Digits, pixels: PixelBackbone, tmp_path: Path
) -> None:
    drawn, reference = digits.images[600:800], digits.images[1100:1300]
    requests = [MetricRequest(name, "digits", backbone="pixels") for name in ("frechet", "kernel", "coverage")]

    def scores(images: Source | Images) -> object:
        sample = Sample(images, ["a handwritten digit"] * 200)
        return measure(requests, {"digits": sample}, References(reference), {"pixels": pixels}, seed=1).scores

    assert scores(source_of(make(drawn, tmp_path))) == scores(drawn)


@pytest.mark.parametrize("make", SOURCES)
def test_names_stand_in_the_order_of_the_images(
    make: Callable[[Images, Path], Path], digits: Digits, tmp_path: Path
) -> None:
    source = source_of(make(digits.images[:7], tmp_path))
    assert list(source.names) == [picture.name for picture in source]
    assert len(source.names) == 7


@pytest.mark.parametrize("workers", [1, 4])
def test_neither_workers_nor_cache_change_a_feature(
    workers: int, digits: Digits, pixels: PixelBackbone, tmp_path: Path
) -> None:
    source, cache = source_of(_folder(digits.images[:150], tmp_path)), FeatureCache(tmp_path / "cache")
    plain = Embedder().embed(source, [pixels])
    for _ in range(2):
        found = Embedder(cache, workers=workers).embed(source, [pixels])
        np.testing.assert_array_equal(found.features["pixels"], plain.features["pixels"])
        assert found.names == plain.names == tuple(source.names)


def test_a_second_run_decodes_nothing(
    digits: Digits, pixels: PixelBackbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, cache = source_of(_folder(digits.images[:20], tmp_path)), FeatureCache(tmp_path / "cache")
    Embedder(cache).embed(source, [pixels])

    def no_decoding(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(Image.Image, "convert", no_decoding)
    assert len(Embedder(cache).embed(source, [pixels]).digests) == 20


def _spoil(folder: Path) -> dict[str, str]:
    """Four bad images, each with the code of its refusal."""
    whole = (folder / "0" / "0000.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "lies.jpg").write_bytes(whole)
    (folder / "text.webp").write_bytes(b"not an image")
    (folder / "wide.gif").write_bytes(_png(np.zeros((4, 4, 3), dtype=np.uint8), "GIF"))
    Image.new("1", (20_000, 4_000)).save(folder / "huge.png")
    return {
        "cut.png": "broken-image",
        "lies.jpg": "mislabelled-image",
        "text.webp": "not-an-image",
        "wide.gif": "not-an-image",
        "huge.png": "too-many-pixels",
    }


def test_bad_images_are_left_out_only_where_asked_for_and_then_listed(
    digits: Digits, pixels: PixelBackbone, tmp_path: Path
) -> None:
    folder = _folder(digits.images[:70], tmp_path)
    expected = _spoil(folder)
    found = Embedder(skip_bad=True).embed(source_of(folder), [pixels])
    assert {each.name: each.code for each in found.skipped} == expected
    assert all(each.name in each.message for each in found.skipped)
    assert len(found.digests) == 70
    names = source_of(folder).names
    assert found.names == tuple(names[place] for place in found.places)
    assert not set(found.names) & set(expected)


@pytest.mark.parametrize("name", ["cut.png", "lies.jpg", "text.webp", "wide.gif", "huge.png"])
def test_one_bad_image_refuses_the_whole_set(name: str, digits: Digits, pixels: PixelBackbone, tmp_path: Path) -> None:
    folder = _folder(digits.images[:5], tmp_path)
    cache = FeatureCache(tmp_path / "cache")
    Embedder(cache).embed(source_of(folder), [pixels])
    for other in _spoil(folder).keys() - {name}:
        (folder / other).unlink()
    with pytest.raises(BadImage, match=name):
        Embedder(cache).embed(source_of(folder), [pixels])


def test_images_of_different_sizes_come_in_one_source(pixels: PixelBackbone, tmp_path: Path) -> None:
    sizes = [(8, 8), (9, 12), (40, 8)]
    for row, (height, width) in enumerate(sizes):
        (tmp_path / f"{row}.png").write_bytes(_png(np.full((height, width, 3), 7, dtype=np.uint8)))
    assert [picture.pixels().shape[:2] for picture in source_of(tmp_path)] == sizes


def test_a_file_that_cannot_be_read_is_named(digits: Digits, pixels: PixelBackbone, tmp_path: Path) -> None:
    folder = _folder(digits.images[:5], tmp_path)
    source = source_of(folder)
    gone = folder / source.names[2]
    gone.unlink()
    with pytest.raises(BadImage, match=gone.name) as caught:
        Embedder().embed(source, [pixels])
    assert caught.value.code == "unreadable-image"
    (skipped,) = Embedder(skip_bad=True).embed(source, [pixels]).skipped
    assert (skipped.index, skipped.name) == (2, source.names[2])


def test_no_more_of_a_file_is_read_than_its_limit(tmp_path: Path) -> None:
    (tmp_path / "long.png").write_bytes(b"\0" * 5000)
    (picture,) = source_of(tmp_path, Limits(encoded_bytes=100))
    with pytest.raises(BadImage, match=r"long\.png") as caught:
        picture.pixels()
    assert caught.value.code == "image-too-large"
    assert isinstance(picture, EncodedPicture)
    assert len(picture.data) == 101


@pytest.mark.parametrize(
    ("name", "code"), [("nothing-there", "no-images"), ("empty", "no-images"), ("notes.txt", "unknown-source")]
)
def test_a_place_without_images_is_refused(name: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(BadRequest, match=name) as caught:
        source_of(tmp_path / name)
    assert caught.value.code == code


def test_a_parquet_file_without_images_names_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"picture": [b""]}), tmp_path / "images.parquet")
    with pytest.raises(BadRequest, match="picture"):
        source_of(tmp_path / "images.parquet")
