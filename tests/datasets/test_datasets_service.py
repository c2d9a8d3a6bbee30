"""Datasets: stored once, validated with named results, refused where they can't be used."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imprimatur.access.model import Principal
from imprimatur.audit.service import AuditLog
from imprimatur.core.errors import BadInput, Conflict, Forbidden, NotFound, Tampered
from imprimatur.datasets.model import Dataset, DatasetKind
from imprimatur.datasets.parquet import build
from imprimatur.datasets.service import Datasets

Make = Callable[..., bytes]


def _add(datasets: Datasets, actor: Principal, parquet: bytes, **changed: str) -> Dataset:
    stated = {
        "name": "real",
        "kind": "reference",
        "owner": "UCI",
        "licence": "CC-BY-4.0",
        "source": "uci.edu",
        **changed,
    }
    return datasets.add(actor, parquet=parquet, **stated)


def test_a_good_dataset_is_stored_and_read_back(datasets: Datasets, ana: Principal, reference: Make) -> None:
    added = _add(datasets, ana, reference(labels=tuple("0123456789")))

    assert added.failed == []
    assert datasets.get("real") == datasets.by_digest(added.digest) == added
    assert datasets.list() == [added]
    assert datasets.table(added).column("label").to_pylist()[:3] == ["0", "1", "2"]


def test_adding_is_audited(datasets: Datasets, ana: Principal, reference: Make, log: AuditLog) -> None:
    added = _add(datasets, ana, reference())

    event = log.recent(subject="real")[0]
    assert (event.action, event.actor, event.detail["digest"]) == ("dataset.added", "ana", added.digest)


def test_the_same_bytes_are_added_once(datasets: Datasets, ana: Principal, reference: Make, log: AuditLog) -> None:
    first = _add(datasets, ana, reference())

    assert _add(datasets, ana, reference()) == first
    assert len(log.recent(subject="real")) == 1


def test_the_same_bytes_with_other_rights_are_refused(datasets: Datasets, ana: Principal, reference: Make) -> None:
    _add(datasets, ana, reference())

    with pytest.raises(Conflict) as caught:
        _add(datasets, ana, reference(), licence="CC0-1.0")
    assert caught.value.code == "dataset-differs"


def test_a_name_stands_for_its_newest_bytes(datasets: Datasets, ana: Principal, reference: Make) -> None:
    old = _add(datasets, ana, reference())
    new = _add(datasets, ana, reference(rows=120))

    assert datasets.get("real") == new
    assert datasets.by_digest(old.digest) == old


@pytest.mark.parametrize(
    ("broken", "failed"),
    [
        ({"label": ["", *["1"] * 99]}, []),
        ({"label": ["x", *["1"] * 99]}, ["labels-known"]),
        ({"caption": [None, *["one"] * 99], "label": ["1"] * 100}, ["caption-present"]),
    ],
)
def test_failed_expectations_are_kept_by_name(
    datasets: Datasets, ana: Principal, reference: Make, broken: dict[str, list[str]], failed: list[str]
) -> None:
    added = _add(datasets, ana, reference(labels=("1", ""), **broken))

    assert added.failed == failed
    assert datasets.get("real").failed == failed


def test_doubled_images_other_formats_few_rows_and_no_licence_show(
    datasets: Datasets, ana: Principal, png: Make
) -> None:
    images = [png(1), png(1), png(2, form="BMP"), png(3, size=9)]
    parquet = build({"image": images, "label": ["1"] * 4, "caption": [""] * 4})

    added = _add(datasets, ana, parquet, licence="unknown")

    expected = ["rows-plausible", "licence-stated", "images-unique", "images-png", "images-one-size"]
    assert added.failed == expected
    found = {result["name"]: result["found"] for result in added.validation["expectations"]}
    assert found["images-png"] == "1 of 4 rows otherwise, e.g. BMP"
    assert found["rows-plausible"] == "4"


def test_protected_works_state_their_owner_and_licence(datasets: Datasets, ana: Principal, png: Make) -> None:
    columns: dict[str, list[Any]] = {
        "image": [png(1), png(2)],
        "title": ["Three", "Four"],
        "owner": ["Ada", " "],
        "licence": ["all rights reserved", "n/a"],
        "source": ["archive", "archive"],
    }

    added = _add(datasets, ana, build(columns), kind="protected")

    assert added.failed == ["works-owner-stated", "works-licence-stated"]


def test_prompts_are_unique_in_their_group(datasets: Datasets, ana: Principal) -> None:
    columns = {"prompt": ["a", "a", "a"], "label": ["", "", ""], "group": ["x", "x", "y"]}

    added = _add(datasets, ana, build(columns), kind="prompts")

    assert added.failed == ["prompts-unique"]


def _without_label(png: Make) -> bytes:
    return build({"image": [png(1)], "caption": [""]})


def _text_image(_png: Make) -> bytes:
    sink = BytesIO()
    pq.write_table(pa.table({"image": ["not bytes"], "label": [""], "caption": [""]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda _png: b"PAR1 and then nothing", "not-parquet"),
        (lambda _png: b"", "not-parquet"),
        (_without_label, "columns-missing"),
        (_text_image, "bad-column-type"),
        (lambda _png: build({"image": [], "label": [], "caption": []}), "no-rows"),
        (lambda png: build({"image": [png(1)[:60]], "label": [""], "caption": [""]}), "bad-image"),
        (lambda _png: build({"image": [b"GIF?"], "label": [""], "caption": [""]}), "bad-image"),
    ],
)
def test_unusable_files_are_refused_and_audited(
    datasets: Datasets, ana: Principal, png: Make, log: AuditLog, make: Callable[[Make], bytes], code: str
) -> None:
    with pytest.raises(BadInput) as caught:
        _add(datasets, ana, make(png))

    assert caught.value.code == code
    assert datasets.list() == []
    event = log.recent(subject="real")[0]
    assert (event.action, event.detail["code"]) == ("dataset.add.refused", code)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"name": "Real Digits"}, "bad-name"),
        ({"kind": "pictures"}, "bad-kind"),
        ({"owner": " "}, "owner-missing"),
        ({"source": ""}, "source-missing"),
    ],
)
def test_what_is_said_about_a_dataset_is_checked(
    datasets: Datasets, ana: Principal, reference: Make, changed: dict[str, str], code: str
) -> None:
    with pytest.raises(BadInput) as caught:
        _add(datasets, ana, reference(), **changed)
    assert caught.value.code == code


def test_an_operator_adds_no_datasets(datasets: Datasets, olga: Principal, reference: Make, log: AuditLog) -> None:
    with pytest.raises(Forbidden):
        _add(datasets, olga, reference())
    assert log.recent(subject="real")[0].detail["code"] == "not-permitted"


def test_an_unknown_dataset_is_not_found(datasets: Datasets) -> None:
    for look in (datasets.get, datasets.by_digest):
        with pytest.raises(NotFound) as caught:
            look("nothing")
        assert caught.value.code == "no-such-dataset"


def test_changed_bytes_are_never_read(datasets: Datasets, ana: Principal, reference: Make) -> None:
    added = _add(datasets, ana, reference())
    path = datasets._store.blob_path(added.digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"\0")

    with pytest.raises(Tampered):
        datasets.table(added)


def test_kinds_are_closed() -> None:
    assert [kind.value for kind in DatasetKind] == ["prompts", "reference", "calibration", "training", "protected"]
