"""What the registry reads of many models and versions at once, on both kinds of database."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from imprimatur.core.database import Database
from imprimatur.registry import store

_NOW = datetime(2026, 11, 26, tzinfo=UTC)
_MODELS = {"Digits": 2, "digits": 12, "faces": 1, "gone": 3, "zebras": 1}


@pytest.fixture
def known(any_database: Database) -> Database:
    """Five models with some versions each, those of ``gone`` and the newest of ``digits`` deleted."""
    with any_database.transaction() as session:
        for model, versions in _MODELS.items():
            for version in range(1, versions + 1):
                _add(session, model, version)
        store.remove_versions(session, "gone", None, _NOW)
        store.remove_versions(session, "digits", 12, _NOW)
    return any_database


def _add(session: Session, model: str, version: int) -> None:
    store.add_version(session, model=model, version=version, run_id=None, source="x", team="t", by="ana", at=_NOW)


def test_models_come_sorted_and_without_those_that_are_gone(known: Database) -> None:
    with known.reading() as session:
        every = store.models(session)

        assert sorted(every) == ["Digits", "digits", "faces", "zebras"]
        for at, name in enumerate(every):
            assert store.models(session, after=name) == every[at + 1 :]
            assert store.models(session, after=name, limit=2) == every[at + 1 :][:2]
        assert store.models(session, after="zzz") == []


@pytest.mark.parametrize("each", [1, 3, 50])
def test_the_newest_living_versions_of_each_model_come_together(known: Database, each: int) -> None:
    with known.reading() as session:
        found = store.newest(session, ["digits", "faces", "gone", "unknown"], each=each)

    digits = [("digits", number) for number in range(11, 0, -1)][:each]
    assert [(row.model, row.version) for row in found] == [*digits, ("faces", 1)]


def test_no_models_have_no_versions(known: Database) -> None:
    with known.reading() as session:
        assert store.newest(session, [], each=3) == []
