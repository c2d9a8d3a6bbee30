"""Fixtures that the rooms share: a database, the log, settings, and people."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from imprimatur.access.model import Principal, Role
from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Base, Database
from imprimatur.core.settings import Settings

_ROOMS = ("audit", "access", "costs", "registry", "datasets", "evaluation", "policy", "release", "monitoring")
for _room in _ROOMS:
    import_module(f"imprimatur.{_room}.tables")  # so that the metadata knows every table


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a home folder that only this test has."""
    home = tmp_path / "home"
    home.mkdir()
    return Settings(home=home)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """An SQLite file with every table of ours."""
    opened = Database(settings.database)
    Base.metadata.create_all(opened.engine)
    yield opened
    opened.dispose()


@pytest.fixture
def log(database: Database) -> AuditLog:
    """The audit log of the test's database."""
    return AuditLog(database)


@pytest.fixture
def ana() -> Principal:
    """An engineer."""
    return Principal("ana", frozenset({Role.ENGINEER}), "imaging")


@pytest.fixture
def ben() -> Principal:
    """A reviewer."""
    return Principal("ben", frozenset({Role.REVIEWER}), "compliance")


@pytest.fixture
def olga() -> Principal:
    """An operator."""
    return Principal("olga", frozenset({Role.OPERATOR}), "platform")


@pytest.fixture
def root() -> Principal:
    """An admin, who is still bound by four eyes."""
    return Principal("root", frozenset({Role.ADMIN}), "platform")
