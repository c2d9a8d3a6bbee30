"""The schema: brought up whole, checked exactly, taken down again, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import Engine, create_engine, inspect, text

from imprimatur.api import schema
from imprimatur.registry import triggers


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("fresh_postgres_url"))


def tables_of(url: str) -> set[str]:
    """Names of all tables."""
    engine = create_engine(url)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


@contextmanager
def mlflows_store(url: str, artifacts: Path) -> Iterator[Any]:
    """MLflow's own tracking store."""
    make: Any = SqlAlchemyStore  # it has no types
    store = make(url, str(artifacts))
    yield store
    store.engine.dispose()


def run(url: str, statement: str) -> None:
    """Run one statement, as whoever holds the database could."""
    engine: Engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_every_migration_goes_up_and_down_and_up_again(empty_url: str) -> None:
    revisions = [script.revision for script in ScriptDirectory(str(schema.scripts())).walk_revisions()]
    stands = []
    for revision in reversed(revisions):
        with schema.open_for_migration(empty_url) as connection:
            command.upgrade(schema.alembic_config(connection), revision)
        stands.append(tables_of(empty_url))
    for stand in reversed(stands):
        assert tables_of(empty_url) == stand
        with schema.open_for_migration(empty_url) as connection:
            command.downgrade(schema.alembic_config(connection), "-1")

    assert tables_of(empty_url) == {schema.VERSION_TABLE}
    with schema.open_for_migration(empty_url) as connection:
        command.upgrade(schema.alembic_config(connection), "head")
    assert tables_of(empty_url) == {*schema.METADATA.tables, schema.VERSION_TABLE}


def test_models_and_migrations_agree(governed_url: str) -> None:
    engine = create_engine(governed_url)
    with engine.connect() as connection:
        options = {
            "version_table": schema.VERSION_TABLE,
            "include_name": schema.is_ours,
            "compare_server_default": True,
        }
        context = MigrationContext.configure(connection, opts={"target_metadata": schema.METADATA, **options})
        differences = compare_metadata(context, schema.METADATA)
    engine.dispose()

    assert differences == [], f"write a migration: {differences}"


def test_an_upgraded_database_lacks_nothing_and_mlflow_accepts_it(governed_url: str, tmp_path: Path) -> None:
    assert schema.check(governed_url) == []

    with mlflows_store(governed_url, tmp_path) as store:
        assert store.get_experiment_by_name("Default") is not None


def test_upgrading_what_is_up_to_date_touches_nothing(governed_sqlite_url: str) -> None:
    file = Path(governed_sqlite_url.removeprefix("sqlite:///"))
    before = file.read_bytes()

    schema.upgrade(governed_sqlite_url)

    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("harm", "finding"),
    [
        ("DROP TABLE imp_usage", "table imp_usage is missing"),
        ("UPDATE imp_alembic_version SET version_num = '0001'", "our schema is at 0001, expected "),
        ("UPDATE alembic_version SET version_num = 'old'", "MLflow's schema is at old, expected "),
    ],
)
def test_check_says_what_is_missing(governed_url: str, harm: str, finding: str) -> None:
    run(governed_url, harm)

    (found,) = schema.check(governed_url)

    assert found.startswith(finding)


def test_check_makes_no_database_file(tmp_path: Path) -> None:
    assert schema.check(f"sqlite:///{tmp_path / 'none.db'}") == ["there is no database file none.db"]
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_lacks_everything(empty_url: str) -> None:
    run(empty_url, "SELECT 1")

    found = schema.check(empty_url)

    assert any(line.startswith("MLflow's schema is at nothing") for line in found)
    assert any(line.startswith("our schema is at nothing") for line in found)
    assert {f"table {name} is missing" for name in schema.METADATA.tables} <= set(found)
    assert "trigger imp_guard_alias" in " ".join(found)


def test_several_processes_upgrade_one_database_at_once(empty_url: str) -> None:
    program = f"from imprimatur.api.schema import upgrade; upgrade({empty_url!r})"
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda _: subprocess.run([sys.executable, "-c", program], capture_output=True), range(2)))

    assert [process.returncode for process in ended] == [0, 0], ended
    assert schema.check(empty_url) == []


def test_mlflows_own_database_is_taken_over_with_its_content(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with mlflows_store(url, tmp_path) as store:
        experiment = store.create_experiment("before us")

    schema.upgrade(url)

    with mlflows_store(url, tmp_path) as store:
        assert store.get_experiment(experiment).name == "before us"
    assert schema.check(url) == []


def test_an_upgrade_from_an_older_stand_puts_the_triggers_up_again(governed_url: str) -> None:
    with schema.open_for_migration(governed_url) as connection:
        command.downgrade(schema.alembic_config(connection), "0009")
    assert schema.check(governed_url) != []

    schema.upgrade(governed_url)

    assert schema.check(governed_url) == []


def test_a_failed_upgrade_leaves_the_triggers_up(governed_url: str) -> None:
    run(governed_url, "UPDATE alembic_version SET version_num = 'unknown'")

    with pytest.raises(Exception, match="unknown"):
        schema.upgrade(governed_url)

    (found,) = schema.check(governed_url)
    assert found.startswith("MLflow's schema is at unknown")


def test_a_migration_that_fails_half_way_changes_nothing_on_sqlite(governed_sqlite_url: str) -> None:
    def add_and_fail() -> None:
        with schema.open_for_migration(governed_sqlite_url) as connection:
            connection.exec_driver_sql("CREATE TABLE imp_half (id INTEGER)")
            triggers.drop(connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()

    assert "imp_half" not in tables_of(governed_sqlite_url)
    assert schema.check(governed_sqlite_url) == []


def test_the_schema_comes_up_without_torch() -> None:
    program = "import sys; sys.modules['torch'] = None; import imprimatur.api.schema as s; s._mlflow_schema()"

    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_lock_is_not_in_the_way_of_readers(governed_sqlite_url: str) -> None:
    with schema._alone(governed_sqlite_url):
        reader = sqlite3.connect(governed_sqlite_url.removeprefix("sqlite:///"))
        assert reader.execute("SELECT count(*) FROM imp_usage").fetchone() == (0,)
        reader.close()
