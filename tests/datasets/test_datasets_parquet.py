"""Datasets built from a folder of images."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from imprimatur.core.errors import BadInput
from imprimatur.datasets.model import DatasetKind
from imprimatur.datasets.parquet import build_from_folder, declared_labels, read_table

Make = Callable[..., bytes]


@pytest.fixture
def folder(tmp_path: Path, png: Make) -> Path:
    """Two labels, one image a PNG and one a BMP."""
    images = tmp_path / "images"
    for name, form in (("3/a.png", "PNG"), ("4/b.bmp", "BMP")):
        path = images / name
        path.parent.mkdir(parents=True)
        path.write_bytes(png(1, form=form))
    (images / "notes.txt").write_text("not an image")
    return images


def _build(folder: Path, kind: DatasetKind, captions: Path | None = None, **common: str) -> bytes:
    return build_from_folder(folder, kind, captions=captions, common=common, labels=["3", "4"])


def test_labels_are_the_folders_and_everything_becomes_png(folder: Path) -> None:
    table = read_table(_build(folder, DatasetKind.REFERENCE), DatasetKind.REFERENCE)

    assert table.column("label").to_pylist() == ["3", "4"]
    assert declared_labels(table) == ("3", "4")
    forms = [Image.open(BytesIO(data)).format for data in table.column("image").to_pylist()]
    assert forms == ["PNG", "PNG"]


def test_the_same_folder_gives_the_same_bytes(folder: Path) -> None:
    assert _build(folder, DatasetKind.REFERENCE) == _build(folder, DatasetKind.REFERENCE)


def test_a_csv_overrides_what_folders_say(folder: Path, tmp_path: Path) -> None:
    captions = tmp_path / "captions.csv"
    captions.write_text("file,title,owner\n3/a.png,Three,Ada\n")

    table = read_table(
        _build(folder, DatasetKind.PROTECTED, captions, owner="Estate", licence="ARR", source="archive"),
        DatasetKind.PROTECTED,
    )

    assert table.column("title").to_pylist() == ["Three", "b"]
    assert table.column("owner").to_pylist() == ["Ada", "Estate"]
    assert table.column("licence").to_pylist() == ["ARR", "ARR"]


def test_folders_that_hold_no_dataset_are_refused(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadInput, match="no image under"):
        _build(empty, DatasetKind.REFERENCE)
    with pytest.raises(BadInput, match="Prompts have no images"):
        _build(folder, DatasetKind.PROMPTS)
    (folder / "broken.png").write_bytes(b"nothing")
    with pytest.raises(BadInput, match=r"broken\.png can't be decoded"):
        _build(folder, DatasetKind.REFERENCE)


def test_a_csv_without_files_is_refused(folder: Path, tmp_path: Path) -> None:
    captions = tmp_path / "captions.csv"
    captions.write_text("name,title\na,b\n")
    with pytest.raises(BadInput) as caught:
        _build(folder, DatasetKind.REFERENCE, captions)
    assert caught.value.code == "bad-captions"
