"""Fixtures that the rooms share: a database, the log, settings, and people."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from imprimatur.access.model import Principal, Role
from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Base, Database
from imprimatur.core.settings import Settings
from postgres_cluster import NoPostgres, cluster

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


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL cluster for the whole run; without one, its tests are skipped, which in CI is a failure."""
    try:
        with cluster() as url:
            yield url
    except NoPostgres as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{error}; CI needs it")
        pytest.skip(str(error))


@pytest.fixture
def fresh_postgres_url(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty PostgreSQL database that only this test has."""
    name = f"test_{abs(hash(request.node.nodeid))}"
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def postgres_database(fresh_postgres_url: str) -> Iterator[Database]:
    """A PostgreSQL database with every table of ours."""
    opened = Database(fresh_postgres_url)
    Base.metadata.create_all(opened.engine)
    yield opened
    opened.dispose()


@pytest.fixture(params=["database", "postgres_database"], ids=["sqlite", "postgres"])
def any_database(request: pytest.FixtureRequest) -> Database:
    """Each kind of database in turn, with every table of ours."""
    opened: Database = request.getfixturevalue(request.param)
    return opened


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
