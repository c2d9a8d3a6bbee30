"""The rooms of release over a governed database: SQLite, and PostgreSQL where both must hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from imprimatur.core.database import Database
from imprimatur.core.settings import Settings
from release_server import Served, serve
from release_stage import Stage


@pytest.fixture
def stage(settings: Settings, governed_sqlite_url: str) -> Iterator[Stage]:
    """Releases over SQLite, with a suite, data and a policy in force."""
    database = Database(governed_sqlite_url)
    yield Stage(settings, database).open()
    database.dispose()


@pytest.fixture
def any_stage(settings: Settings, governed_url: str) -> Iterator[Stage]:
    """Releases over each kind of database in turn."""
    database = Database(governed_url)
    yield Stage(settings, database).open()
    database.dispose()


@pytest.fixture
def served(stage: Stage) -> Iterator[Served]:
    """The rooms of policy and release behind the real login, on a port of this machine."""
    with serve(stage) as server:
        yield server
