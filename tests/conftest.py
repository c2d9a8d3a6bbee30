"""Fixtures that the rooms share: a database, the log, settings, and people."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser

from imprimatur.access.model import Principal, Role
from imprimatur.api.schema import upgrade
from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Base, Database
from imprimatur.core.settings import Settings
from postgres_cluster import NoPostgres, cluster, database_name, new_database
from real_browser import NoBrowser, chromium

if TYPE_CHECKING:
    from imprimatur.api.wiring import House  # every room, which most tests have no use for


@pytest.fixture(autouse=True)
def own_mlflow() -> Iterator[None]:
    """No test inherits the tracking server that another one's MLflow client was pointed at."""
    yield
    mlflow = sys.modules.get("mlflow")
    if mlflow is not None:
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a home folder that only this test has."""
    home = tmp_path / "home"
    home.mkdir()
    return Settings(home=home)


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with every table of ours, all empty."""
    file = tmp_path_factory.mktemp("tables") / "imprimatur.db"
    made = Database(f"sqlite:///{file}")
    Base.metadata.create_all(made.engine)
    made.dispose()
    return file


@pytest.fixture
def database(settings: Settings, sqlite_tables: Path) -> Iterator[Database]:
    """An SQLite file with every table of ours."""
    shutil.copy(sqlite_tables, settings.home / "imprimatur.db")
    opened = Database(settings.database)
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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real browser for the whole run; without one, its tests are skipped, which in CI is a failure."""
    try:
        with chromium() as started:
            yield started
    except NoBrowser as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{error}; CI needs it")
        pytest.skip(str(error))


@pytest.fixture
def fresh_postgres_url(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty PostgreSQL database that only this test has."""
    with new_database(postgres_url, database_name(request.node.nodeid)) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_tables(postgres_url: str) -> Iterator[str]:
    """A PostgreSQL database with every table of ours, for one test after the other."""
    with new_database(postgres_url, "tables") as url:
        made = Database(url)
        Base.metadata.create_all(made.engine)
        made.dispose()
        yield url


@pytest.fixture
def postgres_database(postgres_tables: str) -> Iterator[Database]:
    """A PostgreSQL database with every table of ours, all empty."""
    opened = Database(postgres_tables)
    with opened.transaction() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file as ``imprimatur db upgrade`` leaves it: MLflow's tables, ours and the triggers."""
    file = tmp_path_factory.mktemp("template") / "imprimatur.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> str:
    """The name of a PostgreSQL database as ``imprimatur db upgrade`` leaves it."""
    with new_database(postgres_url, "governed_template", keep=True) as url:
        upgrade(url)
    return "governed_template"


@pytest.fixture
def governed_sqlite_url(sqlite_template: Path, settings: Settings) -> str:
    """An SQLite database with MLflow's tables, ours and the triggers; it is the one of ``settings``."""
    shutil.copy(sqlite_template, settings.home / "imprimatur.db")
    return settings.database


@pytest.fixture
def governed_postgres_url(postgres_url: str, postgres_template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A PostgreSQL database with MLflow's tables, ours and the triggers."""
    with new_database(postgres_url, database_name(request.node.nodeid), template=postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def governed_url(request: pytest.FixtureRequest) -> str:
    """Each kind of governed database in turn."""
    return str(request.getfixturevalue(f"governed_{request.param}_url"))


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


@pytest.fixture(scope="session")
def seeded_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the whole story in it; nobody changes it."""
    from seeded_house import seed  # it knows every room, which most tests have no use for

    home = tmp_path_factory.mktemp("story") / "home"
    seed(home)
    return home


@pytest.fixture(scope="session")
def story(seeded_home: Path) -> Iterator[House]:
    """The house of the story, to be looked at."""
    from imprimatur.api.wiring import House

    house = House.open(Settings(home=seeded_home))
    yield house
    house.close()


@pytest.fixture(scope="session")
def address(story: House) -> Iterator[str]:
    """Where the story's pages are served for a real browser."""
    import uvicorn

    from imprimatur.api.processes import free_port
    from seeded_house import app_of

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app_of(story), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.started
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)
