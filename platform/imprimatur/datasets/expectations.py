"""What a good dataset of each kind looks like, checked by Great Expectations with results that a reviewer can read.

Great Expectations is imported here only, and late: it takes seconds. Its context is ephemeral and its progress bars are
off.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from imprimatur.core.digests import digest_of_bytes
from imprimatur.datasets.model import COLUMNS, PLAUSIBLE_ROWS, DatasetKind, Expectation
from imprimatur.datasets.parquet import Picture, declared_labels, pictures

_UNSTATED = r"(?i)^\s*(?:unknown|none|n/?a|tbd|\?+|-+)?\s*$"
_ONE_AT_A_TIME = threading.Lock()  # a context is the library's process-wide "project"


@dataclass(frozen=True)
class _Wanted:
    """One expectation to check: Great Expectations' class by name, its arguments, and the words for people."""

    name: str
    title: str
    check: str
    arguments: Mapping[str, Any]


def validate(table: pa.Table, kind: DatasetKind, *, licence: str) -> Mapping[str, Any]:
    """The validation document of a table that has its kind's columns: every expectation by name, passed or failed.

    Raises BadInput ``bad-image`` where an image can't be decoded.
    """
    frame = _frame(table, kind, licence)
    results, engine = _run(frame, _wanted(kind, declared_labels(table)))
    return {
        "passed": all(result.passed for result in results),
        "engine": engine,
        "expectations": [result.document() for result in results],
    }


def _frame(table: pa.Table, kind: DatasetKind, licence: str) -> pd.DataFrame:
    columns: dict[str, Sequence[Any]] = {
        name: table.column(name).to_pylist() for name in COLUMNS[kind] if name != "image"
    }
    columns["dataset_licence"] = [licence] * table.num_rows
    if "image" in COLUMNS[kind]:
        images = table.column("image").to_pylist()
        decoded = pictures(images)
        columns["image"] = [None if data is None else digest_of_bytes(data) for data in images]
        columns["image_form"] = [picture.form if picture else None for picture in decoded]
        columns["image_size"] = [_size(picture) for picture in decoded]
    return pd.DataFrame({name: pd.Series(values, dtype="object") for name, values in columns.items()})


def _size(picture: Picture | None) -> str | None:
    return f"{picture.width}x{picture.height}" if picture else None


def _wanted(kind: DatasetKind, labels: tuple[str, ...] | None) -> list[_Wanted]:
    low, high = PLAUSIBLE_ROWS[kind]
    wanted = [
        _Wanted(
            "rows-plausible",
            f"Between {low:,} and {high:,} rows",
            "ExpectTableRowCountToBeBetween",
            {"min_value": low, "max_value": high},
        ),
        _stated("licence-stated", "The dataset states its licence", "dataset_licence"),
    ]
    wanted += [_no_nulls(name) for name in COLUMNS[kind]]
    if kind is DatasetKind.PROMPTS:
        wanted += _of_prompts()
    else:
        wanted += _of_images()
    if kind is DatasetKind.PROTECTED:
        wanted += [_stated(f"works-{name}-stated", f"Every work states its {name}", name) for name in COLUMNS[kind][1:]]
    if "label" in COLUMNS[kind] and labels is not None:
        wanted.append(_labels_in(labels, kind))
    return wanted


def _no_nulls(column: str) -> _Wanted:
    return _Wanted(f"{column}-present", f"No {column} is null", "ExpectColumnValuesToNotBeNull", {"column": column})


def _stated(name: str, title: str, column: str) -> _Wanted:
    return _Wanted(name, title, "ExpectColumnValuesToNotMatchRegex", {"column": column, "regex": _UNSTATED})


def _labels_in(labels: tuple[str, ...], kind: DatasetKind) -> _Wanted:
    allowed = [*labels, ""] if kind is DatasetKind.PROMPTS else list(labels)
    title = f"Every label is one of {', '.join(labels)}"
    return _Wanted("labels-known", title, "ExpectColumnValuesToBeInSet", {"column": "label", "value_set": allowed})


def _of_prompts() -> list[_Wanted]:
    return [
        _stated("prompt-stated", "No prompt is empty", "prompt"),
        _stated("group-stated", "Every prompt belongs to a group", "group"),
        _Wanted(
            "prompts-unique",
            "No group has the same prompt twice",
            "ExpectCompoundColumnsToBeUnique",
            {"column_list": ["prompt", "group"]},
        ),
    ]


def _of_images() -> list[_Wanted]:
    return [
        _Wanted("images-unique", "No image comes twice", "ExpectColumnValuesToBeUnique", {"column": "image"}),
        _Wanted(
            "images-png",
            "Every image is a PNG that decodes",
            "ExpectColumnValuesToBeInSet",
            {"column": "image_form", "value_set": ["PNG"]},
        ),
        _Wanted(
            "images-one-size",
            "All images have the same size",
            "ExpectColumnUniqueValueCountToBeBetween",
            {"column": "image_size", "min_value": 1, "max_value": 1},
        ),
    ]


def _run(frame: pd.DataFrame, wanted: Sequence[_Wanted]) -> tuple[list[Expectation], str]:
    import great_expectations as gx
    import great_expectations.expectations as checks
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # else a thread is left behind that watches bars which are switched off

    with _ONE_AT_A_TIME:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        asset = context.data_sources.add_pandas("datasets").add_dataframe_asset("dataset")
        batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
        suite = gx.ExpectationSuite(
            name="dataset",
            expectations=[getattr(checks, want.check)(**want.arguments, meta={"name": want.name}) for want in wanted],
        )
        outcome = batch.validate(suite)
    by_name: dict[str, Any] = {result["expectation_config"]["meta"]["name"]: result for result in outcome.results}
    results = [
        Expectation(want.name, want.title, by_name[want.name].success is True, _found(by_name[want.name], len(frame)))
        for want in wanted
    ]
    return results, f"great_expectations {gx.__version__}"


def _found(result: Any, rows: int) -> str:
    found = result.result
    if "unexpected_count" in found:
        examples = [str(value)[:60] for value in found.get("partial_unexpected_list", [])[:3]]
        shown = f", e.g. {'; '.join(examples)}" if found["unexpected_count"] and any(examples) else ""
        return f"{found['unexpected_count']:,} of {rows:,} rows otherwise{shown}"
    if "observed_value" in found:
        return f"{found['observed_value']:,}"
    return "could not be checked"
