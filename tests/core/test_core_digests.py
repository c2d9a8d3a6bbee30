"""Canonical JSON names one document by one digest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprimatur.core.digests import canonical_json, digest_of_bytes, digest_of_file, is_digest, new_id
from imprimatur.core.errors import BadInput

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-(2**53), 2**53) | _TEXT
_DOCUMENTS = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner), max_leaves=20)


@given(_DOCUMENTS)
def test_canonical_json_reads_back_as_the_same_document(document: object) -> None:
    assert json.loads(canonical_json(document)) == document


@given(st.dictionaries(_TEXT, _SCALARS))
def test_order_of_keys_does_not_change_the_bytes(document: dict[str, object]) -> None:
    backwards = dict(reversed(document.items()))
    assert canonical_json(backwards) == canonical_json(document)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53 + 1, "\ud800", {1: "x"}, object()])
def test_a_value_without_an_exact_form_is_refused(value: object) -> None:
    with pytest.raises(BadInput) as refused:
        canonical_json({"x": value} if not isinstance(value, dict) else value)
    assert refused.value.code == "not-canonical"


def test_a_document_that_is_nested_too_deeply_is_refused() -> None:
    document: list[object] = []
    for _ in range(100_000):
        document = [document]

    with pytest.raises(BadInput) as refused:
        canonical_json(document)

    assert refused.value.code == "not-canonical"


def test_a_file_and_its_bytes_have_one_digest(tmp_path: Path) -> None:
    data = b"x" * (3 << 20)
    (tmp_path / "f").write_bytes(data)
    assert digest_of_file(tmp_path / "f") == digest_of_bytes(data)
    assert is_digest(digest_of_bytes(data))


def test_identifiers_do_not_repeat() -> None:
    assert len({new_id("dec") for _ in range(1000)}) == 1000
