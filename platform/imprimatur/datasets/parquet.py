"""The Parquet file behind a dataset: read with suspicion, and built from a folder of images."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

from imprimatur.core.errors import BadInput
from imprimatur.datasets.model import COLUMNS, DatasetKind

LARGEST = 512 << 20
"""The most bytes that a file may have."""

_MOST_PIXELS = 8192 * 8192
_LABELS = b"imprimatur.labels"
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})


@dataclass(frozen=True)
class Picture:
    """What one image decodes to."""

    form: str
    width: int
    height: int


def read_table(data: bytes, kind: DatasetKind) -> pa.Table:
    """The table in ``data``, which has every column of its kind, in the right type, and at least one row.

    Raises BadInput: ``too-large``, ``not-parquet``, ``columns-missing``, ``bad-column-type``, ``no-rows``.
    """
    if len(data) > LARGEST:
        raise BadInput("too-large", f"The file has {len(data):,} bytes (expected at most {LARGEST:,})")
    table = _parse(data)
    missing = [name for name in COLUMNS[kind] if name not in table.column_names]
    if missing:
        raise BadInput(
            "columns-missing",
            f"The file lacks {', '.join(missing)} (got {', '.join(table.column_names) or 'no columns'}; "
            f"a dataset of kind {kind} has {', '.join(COLUMNS[kind])})",
        )
    for name in COLUMNS[kind]:
        _require_type(table.schema.field(name))
    if table.num_rows == 0:
        raise BadInput("no-rows", "The file has no rows (expected at least one)")
    return table


def pictures(images: Sequence[bytes | None]) -> list[Picture | None]:
    """What each image decodes to, None for a null; an image that can't be decoded raises BadInput ``bad-image``."""
    return [None if data is None else _decode(row, data) for row, data in enumerate(images)]


def declared_labels(table: pa.Table) -> tuple[str, ...] | None:
    """The closed set of labels that the file declares in its metadata, None where it declares none."""
    declared = (table.schema.metadata or {}).get(_LABELS)
    return None if declared is None else tuple(json.loads(declared))


def build(columns: Mapping[str, Sequence[Any]], *, labels: Sequence[str] | None = None) -> bytes:
    """A Parquet file with ``columns``, declaring ``labels`` as the closed set that its labels come from."""
    table = pa.table(
        {name: pa.array(values, pa.binary() if name == "image" else pa.string()) for name, values in columns.items()}
    )
    if labels is not None:
        table = table.replace_schema_metadata({_LABELS: json.dumps(list(labels)).encode()})
    sink = BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def build_from_folder(
    folder: Path, kind: DatasetKind, *, captions: Path | None, common: Mapping[str, str], labels: Sequence[str] | None
) -> bytes:
    """A Parquet file of every image under ``folder``, sorted by path and stored as PNG.

    ``captions`` is a CSV file with a column ``file`` and any of the kind's columns; ``common`` fills the columns that
    it leaves out. Without it the label of an image is the name of its folder, and the title its file's name.
    """
    if kind is DatasetKind.PROMPTS:
        raise BadInput("bad-kind", "Prompts have no images; give them as --file with columns prompt, label, group")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise BadInput("no-rows", f"There is no image under {folder} (expected {', '.join(sorted(_SUFFIXES))})")
    stated = _captions(captions) if captions else {}
    rows = [_row(folder, path, stated, common) for path in files]
    return build({name: [row.get(name, "") for row in rows] for name in COLUMNS[kind]}, labels=labels)


def _parse(data: bytes) -> pa.Table:
    try:
        return pq.read_table(BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise BadInput(
            "not-parquet", f"The file can't be read as Parquet: {_first_line(error)} (expected one Parquet file)"
        ) from error


def _require_type(field: pa.Field) -> None:
    binary = pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
    text = pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    if not (binary if field.name == "image" else text):
        expected = "binary (the bytes of a PNG)" if field.name == "image" else "text"
        raise BadInput("bad-column-type", f"Column {field.name} is {field.type} (expected {expected})")


def _decode(row: int, data: bytes) -> Picture:
    try:
        with Image.open(BytesIO(data)) as image:
            if image.width * image.height > _MOST_PIXELS:
                size = f"{image.width} x {image.height}"
                raise BadInput(
                    "bad-image", f"The image in row {row} is {size} (expected at most {_MOST_PIXELS:,} pixels)"
                )
            image.load()
            return Picture(image.format or "unknown", image.width, image.height)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(
            "bad-image", f"The image in row {row} can't be decoded: {_first_line(error)} (expected a PNG)"
        ) from error


def _captions(path: Path) -> Mapping[str, Mapping[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput("bad-captions", f"{path} can't be read as CSV: {error}") from error
    if not rows or "file" not in rows[0]:
        raise BadInput("bad-captions", f"{path} has no column 'file' (expected file and any of label, caption, title)")
    return {row["file"]: {key: value for key, value in row.items() if key and value is not None} for row in rows}


def _row(
    folder: Path, path: Path, stated: Mapping[str, Mapping[str, str]], common: Mapping[str, str]
) -> Mapping[str, Any]:
    relative = path.relative_to(folder).as_posix()
    label = path.parent.name if path.parent != folder else ""
    fallback = {"label": label, "caption": label, "title": path.stem, **common}
    return {**fallback, **stated.get(relative, {}), "image": _as_png(path)}


def _as_png(path: Path) -> bytes:
    data = path.read_bytes()
    try:
        with Image.open(BytesIO(data)) as image:
            if image.format == "PNG":
                return data
            sink = BytesIO()
            image.convert("RGB").save(sink, "PNG")
            return sink.getvalue()
    except (UnidentifiedImageError, OSError) as error:
        raise BadInput("bad-image", f"{path} can't be decoded: {_first_line(error)} (expected an image)") from error


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
