"""The digits, their split, and the datasets made of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imprimatur.demo import digits
from imprimatur.demo.digits import Digits, Split


@pytest.fixture(scope="module")
def everything() -> Digits:
    return digits.load()


@pytest.fixture(scope="module")
def parts(everything: Digits) -> Split:
    return digits.split(everything, seed=0)


def numbered(count: int = 1_797) -> Digits:
    """Digits whose first two pixels say which row they are."""
    images = np.zeros((count, 32, 32, 3), dtype=np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = np.arange(count) // 256, np.arange(count) % 256
    return Digits(images, np.arange(count) % 10)


def rows_of(part: Digits) -> npt.NDArray[np.int64]:
    rows: npt.NDArray[np.int64] = part.images[:, 0, 0, 0].astype(np.int64) * 256 + part.images[:, 0, 0, 1]
    return rows


def read(data: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
    return rows


def test_there_are_all_real_digits_with_full_contrast(everything: Digits) -> None:
    assert everything.images.shape == (1_797, 32, 32, 3)
    assert everything.images.dtype == np.uint8
    assert (everything.images.min(), everything.images.max()) == (0, 255)
    assert np.bincount(everything.labels).min() > 170


def test_no_image_is_in_two_parts_and_none_is_lost() -> None:
    parts = digits.split(numbered(), seed=3)

    rows = [rows_of(part) for part in (parts.training, parts.reference, parts.calibration)]

    assert [len(part) for part in rows] == [1_200, 300, 297]
    assert sorted(np.concatenate(rows)) == list(range(1_797))


def test_the_protected_works_are_ten_training_images_one_a_digit() -> None:
    parts = digits.split(numbered(), seed=3)

    assert list(parts.protected.labels) == list(range(10))
    assert set(rows_of(parts.protected)) <= set(rows_of(parts.training))


def test_the_seed_alone_decides_the_split(everything: Digits, parts: Split) -> None:
    again, other = digits.split(everything, seed=0), digits.split(everything, seed=1)

    assert again.training.digest == parts.training.digest
    assert again.protected.digest == parts.protected.digest
    assert other.training.digest != parts.training.digest
    assert other.protected.digest != parts.protected.digest


def test_the_digest_tells_labels_apart(parts: Split) -> None:
    relabelled = Digits(parts.protected.images, parts.protected.labels[::-1].copy())

    assert relabelled.digest != parts.protected.digest


def test_prompts_name_each_digit_and_one_names_none() -> None:
    rows = read(digits.prompts_parquet())

    conditional = [row for row in rows if row["group"] == "conditional"]
    neutral = [row for row in rows if row["group"] == "neutral"]
    assert {row["prompt"]: row["label"] for row in conditional}["a handwritten seven"] == "seven"
    assert len(conditional) == 10
    assert neutral == [{"prompt": "a handwritten digit", "label": "", "group": "neutral"}]


def test_a_reference_set_holds_every_pixel_and_its_caption(parts: Split) -> None:
    rows = read(digits.images_parquet(parts.reference))

    assert list(rows[0]) == ["image", "label", "caption"]
    decoded = np.stack([np.asarray(Image.open(io.BytesIO(row["image"]))) for row in rows])
    np.testing.assert_array_equal(decoded, parts.reference.images)
    assert [row["caption"] for row in rows] == list(parts.reference.captions)
    assert all(row["caption"] == f"a handwritten {row['label']}" for row in rows)


def test_every_protected_work_has_its_rights_and_says_that_its_owner_is_invented(parts: Split) -> None:
    rows = read(digits.protected_parquet(parts.protected))

    assert list(rows[0]) == ["image", "title", "owner", "licence", "source"]
    assert len({row["title"] for row in rows}) == 10
    assert all(row["owner"].endswith("(demo)") for row in rows)
    assert all("invented" in row["source"] and row["licence"] for row in rows)


def test_the_same_split_makes_the_same_files(parts: Split, tmp_path: Path) -> None:
    first = digits.write_datasets(parts, tmp_path / "first")
    second = digits.write_datasets(parts, tmp_path / "second")

    assert set(first) == {"prompts", "reference", "calibration", "protected", "training"}
    assert all(first[kind].read_bytes() == second[kind].read_bytes() for kind in first)
