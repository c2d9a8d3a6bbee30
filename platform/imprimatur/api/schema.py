"""The database's schema: MLflow's and ours brought up together, the triggers put up around them, and what is missing.

Our tables carry the prefix ``imp_`` and their own Alembic version table, so that neither side sees the other's.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, inspect, make_url, text
from sqlalchemy.engine import Connection

import imprimatur
from imprimatur.access import tables as _access
from imprimatur.api import tables as _api
from imprimatur.audit import tables as _audit
from imprimatur.core.database import Base, Database
from imprimatur.costs import tables as _costs
from imprimatur.datasets import tables as _datasets
from imprimatur.evaluation import tables as _evaluation
from imprimatur.monitoring import tables as _monitoring
from imprimatur.policy import tables as _policy
from imprimatur.registry import tables as _registry
from imprimatur.registry import triggers
from imprimatur.release import tables as _release

PREFIX = "imp_"
VERSION_TABLE = "imp_alembic_version"
ROOMS: tuple[ModuleType, ...] = (
    _audit,
    _access,
    _costs,
    _registry,
    _datasets,
    _evaluation,
    _policy,
    _release,
    _monitoring,
    _api,
)
"""The modules that declare our tables; a room that is not here has none."""

METADATA = Base.metadata
"""Every table of ours."""

_GUARDED = {
    "registered_model_aliases",
    "model_versions",
    "registered_models",
    "imp_audit_event",
    "imp_release",
    "imp_hold",
    "imp_version",
}
_ADVISORY_LOCK = 0x696D705F  # "imp_"


def upgrade(url: str, environments: Sequence[str] = triggers.ENVIRONMENTS) -> None:
    """Bring the database at ``url`` up: MLflow's schema, then ours, then the triggers for ``environments``.

    Where nothing is missing nothing is touched. Several processes may call this at once: they wait for each other.
    """
    with _alone(url):
        if not check(url, environments):
            return
        with open_for_migration(url) as connection:
            triggers.drop(connection)
        try:
            _upgrade_mlflow(url)
            with open_for_migration(url) as connection:
                command.upgrade(alembic_config(connection), "head")
                triggers.create(connection, environments)
        except BaseException:
            _guard_what_stands(url, environments)
            raise


def check(url: str, environments: Sequence[str] = triggers.ENVIRONMENTS) -> list[str]:
    """What keeps the server from working on the database at ``url``, in sentences; empty where nothing does."""
    file = _sqlite_file(url)
    if file is not None and not file.exists():
        return [f"there is no database file {file.name}"]
    database = Database(url)
    try:
        with database.engine.execution_options(reading=True).connect() as connection:
            return [*_behind(connection), *_missing_tables(connection), *triggers.check(connection, environments)]
    finally:
        database.dispose()


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for our migrations in ``connection``."""
    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def scripts() -> Path:
    """The folder of our migrations: the source tree's where there is one, else the copy inside the package."""
    package = Path(imprimatur.__file__).parent
    source = package.parents[1] / "migrations"
    return source if (source / "env.py").is_file() else package / "_migrations"


def is_ours(name: str | None, kind: str, parents: Any) -> bool:
    """Whether Alembic may look at a table: those with our prefix, and what belongs to them."""
    return kind != "table" or (name is not None and name.startswith(PREFIX) and name != VERSION_TABLE)


@contextmanager
def open_for_migration(url: str) -> Iterator[Connection]:
    """A connection whose changes of schema and data are committed as one when the block ends, or not at all."""
    file = _sqlite_file(url)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    database = Database(url)
    if file is not None:
        event.listen(database.engine, "connect", _allow_rebuilding)
    try:
        with database.engine.begin() as connection:
            yield connection
    finally:
        database.dispose()


def _allow_rebuilding(connection: Any, _record: Any) -> None:
    """SQLite changes a table by rebuilding it, which must neither cascade nor trip over what names the table."""
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("PRAGMA legacy_alter_table=ON")


def _guard_what_stands(url: str, environments: Sequence[str]) -> None:
    with open_for_migration(url) as connection:
        if set(inspect(connection).get_table_names()) >= _GUARDED:
            triggers.create(connection, environments)


def _behind(connection: Connection) -> list[str]:
    found = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    expected = ScriptDirectory(str(scripts())).get_current_head()
    mlflow_found = MigrationContext.configure(connection).get_current_revision()
    mlflow_expected = _mlflow_schema()._get_latest_schema_revision()
    stands = {"MLflow's schema": (mlflow_found, mlflow_expected), "our schema": (found, expected)}
    return [
        f"{name} is at {found or 'nothing'}, expected {expected}"
        for name, (found, expected) in stands.items()
        if found != expected
    ]


def _missing_tables(connection: Connection) -> list[str]:
    found = set(inspect(connection).get_table_names())
    return [f"table {name} is missing" for name in sorted(METADATA.tables) if name not in found]


def _upgrade_mlflow(url: str) -> None:
    schema = _mlflow_schema()
    engine: Engine = schema.create_sqlalchemy_engine(url)
    try:
        if not schema._all_tables_exist(engine):
            schema._initialize_tables(engine)
        elif schema._get_schema_version(engine) != schema._get_latest_schema_revision():
            schema._upgrade_db(engine)
    finally:
        engine.dispose()


def _mlflow_schema() -> Any:
    """MLflow's own migrations; imported late, because every command would wait for it."""
    from mlflow.store.db import utils

    return utils


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """Wait until no other process brings this database up."""
    file = _sqlite_file(url)
    with ExitStack() as held:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context(file.with_name(f"{file.name}.upgrade-lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        else:
            database = Database(url)
            held.callback(database.dispose)
            connection = held.enter_context(database.engine.connect())
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_LOCK})
        yield


def _sqlite_file(url: str) -> Path | None:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    return Path(parsed.database or "")
