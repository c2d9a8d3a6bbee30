"""The triggers refuse whoever writes past the governed store, on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import IntegrityError

from imprimatur.api import schema
from imprimatur.core.errors import BadInput
from imprimatur.registry import triggers
from postgres_cluster import new_database

_NOW = "2026-11-23 06:30:00"


@pytest.fixture
def engine(governed_url: str) -> Iterator[Engine]:
    """A plain engine with model ``digits``, versions 1 to 3, of which production holds 1."""
    opened = create_engine(governed_url)
    _fill(opened)
    yield opened
    opened.dispose()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def standing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The same for all tests in which nothing changes."""
    with ExitStack() as kept:
        if request.param == "sqlite":
            file = tmp_path_factory.mktemp("standing") / "imprimatur.db"
            shutil.copy(request.getfixturevalue("sqlite_template"), file)
            url = f"sqlite:///{file}"
        else:
            server, template = request.getfixturevalue("postgres_url"), request.getfixturevalue("postgres_template")
            url = kept.enter_context(new_database(server, "standing", template=template))
        opened = create_engine(url)
        kept.callback(opened.dispose)
        _fill(opened)
        yield opened


def _fill(engine: Engine) -> None:
    with engine.begin() as connection:
        _add_model(connection, "digits", versions=(1, 2, 3))
        _add_model(connection, "faces", versions=(1,))
        _release(connection, "digits", 1)
        _set_alias(connection, "digits", "production", 1)
        _hold(connection, "digits", 1)


@pytest.fixture(scope="module")
def postgres(postgres_url: str, postgres_template: str) -> Iterator[Engine]:
    """An empty PostgreSQL database for tests that commit nothing."""
    with new_database(postgres_url, "untouched", template=postgres_template) as url:
        opened = create_engine(url)
        yield opened
        opened.dispose()


def _without_foreign_keys(connection: Connection) -> None:
    """Spare the tests the rows that releases and holds refer to; our triggers fire all the same."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL session_replication_role = replica"))


def _add_model(connection: Connection, name: str, versions: Sequence[int]) -> None:
    _without_foreign_keys(connection)
    connection.execute(text("INSERT INTO registered_models (name) VALUES (:name)"), {"name": name})
    for version in versions:
        row = {"id": f"{name}-{version}", "name": name, "version": version, "at": _NOW}
        connection.execute(
            text(
                "INSERT INTO model_versions (name, version, source, storage_location, current_stage) "
                "VALUES (:name, :version, 's3://a', 's3://a', 'None')"
            ),
            row,
        )
        connection.execute(
            text(
                "INSERT INTO imp_version (id, model, version, source, team, registered_by, registered_at, lineage) "
                "VALUES (:id, :name, :version, 's3://a', 'imaging', 'ana', :at, '{}')"
            ),
            row,
        )


def _release(connection: Connection, model: str, version: int, environment: str = "production") -> None:
    _without_foreign_keys(connection)
    connection.execute(
        text("UPDATE imp_release SET ended_at = :at WHERE model = :model AND environment = :environment"),
        {"at": _NOW, "model": model, "environment": environment},
    )
    count = connection.scalar(text("SELECT count(*) FROM imp_release"))
    connection.execute(
        text(
            "INSERT INTO imp_release (id, decision_id, version_id, model, version, manifest_digest, environment, "
            "released_by, released_at) VALUES (:id, 'd', :held, :model, :version, 'x', :environment, 'olga', :at)"
        ),
        {
            "id": f"rel-{count}",
            "held": f"{model}-{version}",
            "model": model,
            "version": version,
            "environment": environment,
            "at": _NOW,
        },
    )


def _hold(connection: Connection, model: str, version: int) -> None:
    connection.execute(
        text("INSERT INTO imp_hold (version_id, environment, placed_at) VALUES (:id, 'production', :at)"),
        {"id": f"{model}-{version}", "at": _NOW},
    )


def _set_alias(connection: Connection, model: str, alias: str, version: int, workspace: str = "default") -> None:
    """As MLflow's clients do: update the row, or insert it where there is none."""
    row = {"model": model, "alias": alias, "version": version, "workspace": workspace}
    moved = connection.execute(
        text(
            "UPDATE registered_model_aliases SET version = :version "
            "WHERE name = :model AND alias = :alias AND workspace = :workspace"
        ),
        row,
    )
    if moved.rowcount == 0:
        connection.execute(
            text(
                "INSERT INTO registered_model_aliases (workspace, name, alias, version) "
                "VALUES (:workspace, :model, :alias, :version)"
            ),
            row,
        )


def _everything(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        tables = ("registered_models", "model_versions", "registered_model_aliases")
        return [connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2, 3")).all() for table in tables]


def _refused(engine: Engine, code: str, statement: str) -> None:
    """The statement, with foreign keys cascading as in MLflow, is refused with the code and changes nothing."""
    before = _everything(engine)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        with pytest.raises(IntegrityError, match=f"imprimatur: {code}: "):
            connection.execute(text(statement))
    assert _everything(engine) == before


def _accepted(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount == 1


_INSERT_ALIAS = "INSERT INTO registered_model_aliases (workspace, name, alias, version) VALUES"


@pytest.mark.parametrize(
    "statement",
    [
        f"{_INSERT_ALIAS} ('default', 'digits', 'staging', 2)",
        f"{_INSERT_ALIAS} ('default', 'digits', 'Staging', 1)",
        f"{_INSERT_ALIAS} ('default', 'digits', 'PRODUCTION', 1)",
        f"{_INSERT_ALIAS} ('default', 'faces', 'production', 1)",
        f"{_INSERT_ALIAS} ('other', 'digits', 'production', 1)",
        f"{_INSERT_ALIAS} ('default', 'digits', 'production', 2) ON CONFLICT DO NOTHING",
        f"{_INSERT_ALIAS} ('default', 'digits', 'production', 2) "
        "ON CONFLICT (workspace, name, alias) DO UPDATE SET version = 2",
        "UPDATE registered_model_aliases SET version = 2",
        "UPDATE registered_model_aliases SET alias = 'Production'",
        "UPDATE registered_model_aliases SET alias = 'champion'",
        "UPDATE registered_model_aliases SET name = 'faces'",
        "UPDATE registered_model_aliases SET workspace = 'other'",
        "DELETE FROM registered_model_aliases",
    ],
)
def test_an_environment_moves_by_release_only(standing: Engine, statement: str) -> None:
    _refused(standing, "protected-alias", statement)


def test_a_promotion_writes_the_release_and_then_the_alias(engine: Engine) -> None:
    with engine.begin() as connection:
        _release(connection, "digits", 2)
        _set_alias(connection, "digits", "production", 2)

    _refused(engine, "protected-alias", "UPDATE registered_model_aliases SET version = 1")


def test_the_same_version_may_be_released_anew(engine: Engine) -> None:
    with engine.begin() as connection:
        _release(connection, "digits", 1)
        _set_alias(connection, "digits", "production", 1)


def test_an_alias_before_its_release_is_refused(engine: Engine) -> None:
    def promote_in_the_wrong_order() -> None:
        with engine.begin() as connection:
            _set_alias(connection, "digits", "production", 2)
            _release(connection, "digits", 2)

    with pytest.raises(IntegrityError, match="imprimatur: protected-alias: "):
        promote_in_the_wrong_order()


def test_an_alias_is_removed_once_its_release_ended(engine: Engine) -> None:
    _accepted(engine, f"UPDATE imp_release SET ended_at = '{_NOW}'")

    _accepted(engine, "DELETE FROM registered_model_aliases")


def test_other_aliases_are_free(engine: Engine) -> None:
    _accepted(engine, f"{_INSERT_ALIAS} ('default', 'digits', 'champion', 2)")
    _accepted(engine, "UPDATE registered_model_aliases SET version = 3 WHERE alias = 'champion'")
    _accepted(engine, "DELETE FROM registered_model_aliases WHERE alias = 'champion'")


_HELD = "WHERE name = 'digits' AND version = 1"
_REPLACED = "INSERT INTO model_versions (workspace, name, version, source) VALUES ('default', 'digits', 1, 's3://b')"


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE model_versions SET source = 's3://b' {_HELD}",
        f"UPDATE model_versions SET source = NULL {_HELD}",
        f"UPDATE model_versions SET storage_location = 's3://b' {_HELD}",
        f"UPDATE model_versions SET run_id = 'other' {_HELD}",
        f"UPDATE model_versions SET current_stage = 'Archived' {_HELD}",
        f"UPDATE model_versions SET version = 9 {_HELD}",
        f"UPDATE model_versions SET name = 'faces', version = 9 {_HELD}",
        "UPDATE model_versions SET source = 's3://b'",
        f"DELETE FROM model_versions {_HELD}",
        f"{_REPLACED} ON CONFLICT (workspace, name, version) DO UPDATE SET source = 's3://b'",
        "DELETE FROM registered_models WHERE name = 'digits'",
        "INSERT INTO registered_models (name) VALUES ('digits') ON CONFLICT (workspace, name) DO UPDATE SET name = 'x'",
        "UPDATE registered_models SET name = 'numbers' WHERE name = 'digits'",
    ],
)
def test_a_held_version_stays_as_it_is(standing: Engine, statement: str) -> None:
    _refused(standing, "(held-version|protected-alias)", statement)


def test_a_hold_holds_without_an_alias_too(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE imp_release SET ended_at = '{_NOW}'"))
        connection.execute(text("DELETE FROM registered_model_aliases"))

    _refused(engine, "held-version", "DELETE FROM registered_models WHERE name = 'digits'")
    _refused(engine, "held-version", "UPDATE registered_models SET name = 'numbers' WHERE name = 'digits'")


@pytest.mark.parametrize(
    ("code", "statement"),
    [
        ("held-version", _REPLACED.replace("INSERT", "INSERT OR REPLACE")),
        ("held-version", f"UPDATE OR REPLACE model_versions SET version = 1 {_HELD.replace('1', '2')}"),
        ("held-version", "INSERT OR REPLACE INTO registered_models (name) VALUES ('digits')"),
        ("held-version", "UPDATE OR REPLACE registered_models SET name = 'digits' WHERE name = 'faces'"),
        ("protected-alias", f"{_INSERT_ALIAS} ('default', 'digits', 'production', 2)".replace("T I", "T OR REPLACE I")),
    ],
)
def test_sqlites_replace_is_no_way_round(
    code: str, statement: str, governed_sqlite_url: str, request: pytest.FixtureRequest
) -> None:
    opened = create_engine(governed_sqlite_url)
    request.addfinalizer(opened.dispose)
    _fill(opened)

    _refused(opened, code, statement)


_ROW = "(SELECT rowid FROM {} LIMIT 1)"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO registered_model_aliases (rowid, workspace, name, alias, version) "
        f"VALUES ({_ROW.format('registered_model_aliases')}, 'default', 'digits', 'other', 2)",
        "REPLACE INTO model_versions (rowid, workspace, name, version) "
        f"VALUES ({_ROW.format('model_versions')}, 'default', 'faces', 9)",
        "REPLACE INTO registered_models (rowid, workspace, name) "
        f"VALUES ({_ROW.format('registered_models')}, 'default', 'other')",
        f"UPDATE OR REPLACE model_versions SET rowid = {_ROW.format('model_versions')} WHERE version = 2",
        f"UPDATE OR REPLACE registered_models SET _rowid_ = {_ROW.format('registered_models')} WHERE name = 'faces'",
        "UPDATE OR REPLACE registered_model_aliases SET oid = 1 WHERE alias = 'champion'",
        "INSERT OR REPLACE INTO imp_audit_event (position, at, actor, action, subject, detail, leaf) "
        f"VALUES (0, '{_NOW}', 'ben', 'a', 'b', '{{}}', x'01')",
    ],
)
def test_sqlites_replace_takes_no_rows_place(
    statement: str, governed_sqlite_url: str, request: pytest.FixtureRequest
) -> None:
    opened = create_engine(governed_sqlite_url)
    request.addfinalizer(opened.dispose)
    _fill(opened)
    with opened.begin() as connection:
        _set_alias(connection, "digits", "champion", 2)
        connection.execute(text(_EVENT))

    _refused(opened, "replaced-row", statement)

    with opened.connect() as connection:
        assert connection.scalar(text("SELECT actor FROM imp_audit_event")) == "ana"


_EVENT = (
    "INSERT INTO imp_audit_event (position, at, actor, action, subject, detail, leaf) "
    f"VALUES (0, '{_NOW}', 'ana', 'a', 'b', '{{}}', x'00')"
)


def test_an_upgrade_puts_new_guards_into_a_home_that_lacks_them(governed_sqlite_url: str) -> None:
    opened = create_engine(governed_sqlite_url)
    with opened.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER imp_guard_audit_insert")
    opened.dispose()
    assert schema.check(governed_sqlite_url) == ["trigger imp_guard_audit_insert is missing"]

    schema.upgrade(governed_sqlite_url)

    assert schema.check(governed_sqlite_url) == []


def test_what_nobody_holds_is_free(engine: Engine) -> None:
    _accepted(engine, f"UPDATE model_versions SET description = 'read me' {_HELD}")
    _accepted(engine, "UPDATE model_versions SET source = 's3://b' WHERE name = 'digits' AND version = 2")
    _accepted(engine, "UPDATE model_versions SET current_stage = 'Archived' WHERE name = 'digits' AND version = 2")
    _accepted(engine, "DELETE FROM model_versions WHERE name = 'faces'")
    _accepted(engine, "UPDATE registered_models SET name = 'portraits' WHERE name = 'faces'")
    _accepted(engine, "DELETE FROM registered_models WHERE name = 'portraits'")


def test_a_lifted_hold_holds_no_more(engine: Engine) -> None:
    _accepted(engine, "DELETE FROM imp_hold")

    _accepted(engine, f"UPDATE model_versions SET source = 's3://b' {_HELD}")


@pytest.mark.parametrize("stage", ["Production", "Staging", "production", "STAGING"])
def test_the_stages_that_mlflow_serves_are_closed(standing: Engine, stage: str) -> None:
    where = "WHERE name = 'digits' AND version = 2"
    _refused(standing, "protected-stage", f"UPDATE model_versions SET current_stage = '{stage}' {where}")
    _refused(
        standing,
        "protected-stage",
        f"INSERT INTO model_versions (name, version, current_stage) VALUES ('faces', 2, '{stage}')",
    )


def test_there_is_one_workspace(standing: Engine) -> None:
    _refused(standing, "other-workspace", "INSERT INTO registered_models (workspace, name) VALUES ('other', 'digits')")
    _refused(standing, "other-workspace", "UPDATE registered_models SET workspace = 'other' WHERE name = 'faces'")


@contextmanager
def _stock(engine: Engine) -> Iterator[Any]:
    """MLflow's own registry store on the same database."""
    make: Any = SqlAlchemyStore  # it has no types
    store = make(engine.url.render_as_string(hide_password=False))
    yield store
    store.engine.dispose()


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("set_registered_model_alias", ("digits", "production", 2)),
        ("set_registered_model_alias", ("faces", "Staging", 1)),
        ("delete_registered_model_alias", ("digits", "production")),
        ("delete_model_version", ("digits", 1)),
        ("delete_registered_model", ("digits",)),
        ("rename_registered_model", ("digits", "numbers")),
        ("transition_model_version_stage", ("digits", 2, "production", False)),
    ],
)
def test_mlflows_own_store_is_refused_too(standing: Engine, call: str, arguments: tuple[Any, ...]) -> None:
    before = _everything(standing)
    refusal = pytest.raises(MlflowException, match=r"imprimatur: (protected-alias|protected-stage|held-version): ")

    with _stock(standing) as store, refusal:
        getattr(store, call)(*arguments)

    assert _everything(standing) == before


def test_mlflows_own_store_does_the_rest(engine: Engine) -> None:
    with _stock(engine) as store:
        store.set_registered_model_alias("digits", "champion", 2)
        store.transition_model_version_stage("digits", 3, "archived", False)
        store.delete_model_version("digits", 3)
        store.rename_registered_model("faces", "portraits")

        assert store.get_model_version_by_alias("digits", "champion").version == 2


def test_environments_come_from_the_settings(engine: Engine) -> None:
    with engine.begin() as connection:
        triggers.create(connection, ["canary", "production"])
        assert triggers.check(connection, ["production", "canary"]) == []
        assert triggers.check(connection) != []

    _refused(engine, "protected-alias", f"{_INSERT_ALIAS} ('default', 'digits', 'Canary', 1)")
    _accepted(engine, f"{_INSERT_ALIAS} ('default', 'digits', 'staging', 1)")


@pytest.mark.parametrize("name", ["", "a'b", "a b", "x); DROP TABLE imp_usage; --", "pröd"])
def test_an_environment_is_a_plain_word(standing: Engine, name: str) -> None:
    with pytest.raises(BadInput) as refused, standing.begin() as connection:
        triggers.create(connection, [name])

    assert refused.value.code == "bad-environment"
    with standing.connect() as connection:
        assert triggers.check(connection) == []


_SQLITE_FOREIGN = "CREATE TRIGGER imp_guard_old BEFORE DELETE ON registered_models BEGIN SELECT 1; END"
_SQLITE_WEAK = (
    "CREATE TRIGGER imp_guard_alias_insert BEFORE INSERT ON registered_model_aliases FOR EACH ROW BEGIN SELECT 1; END"
)


def test_check_names_what_is_wrong_on_sqlite(governed_sqlite_url: str) -> None:
    opened = create_engine(governed_sqlite_url)
    with opened.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER imp_guard_model_delete")
        connection.exec_driver_sql("DROP TRIGGER imp_guard_alias_insert")
        connection.exec_driver_sql(_SQLITE_WEAK)
        connection.exec_driver_sql(_SQLITE_FOREIGN)

        found = triggers.check(connection)
        triggers.create(connection)
        mended = triggers.check(connection)
    opened.dispose()

    assert found == [
        "trigger imp_guard_model_delete is missing",
        "trigger imp_guard_alias_insert was changed",
        "trigger imp_guard_old is not one of ours",
    ]
    assert mended == []


@pytest.mark.parametrize(
    ("harm", "finding"),
    [
        ("DROP TRIGGER imp_guard_model ON registered_models", "imp_guard_model is missing"),
        ("DROP FUNCTION imp_guard_alias_truncate() CASCADE", "imp_guard_alias_truncate is missing"),
        ("ALTER TABLE registered_models DISABLE TRIGGER imp_guard_model", "imp_guard_model was changed"),
        ("ALTER TABLE registered_models ENABLE TRIGGER imp_guard_model", "imp_guard_model was changed"),
        ("ALTER FUNCTION imp_guard_alias() SECURITY INVOKER", "imp_guard_alias was changed"),
        ("ALTER FUNCTION imp_guard_alias() RESET search_path", "imp_guard_alias was changed"),
        (
            "CREATE OR REPLACE FUNCTION imp_guard_version() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
            "SET search_path = public, pg_temp AS 'BEGIN RETURN NEW; END'",
            "imp_guard_version was changed",
        ),
        (
            "CREATE OR REPLACE TRIGGER imp_guard_alias BEFORE INSERT OR UPDATE OR DELETE ON registered_model_aliases "
            "FOR EACH ROW WHEN (false) EXECUTE FUNCTION imp_guard_alias()",
            "imp_guard_alias was changed",
        ),
        (
            "CREATE TRIGGER imp_guard_old BEFORE DELETE ON registered_models "
            "FOR EACH ROW EXECUTE FUNCTION imp_guard_model()",
            "imp_guard_old is not one of ours",
        ),
    ],
)
def test_check_names_what_is_wrong_on_postgres(postgres: Engine, harm: str, finding: str) -> None:
    if "WHEN (false)" in harm:
        harm = harm.replace("INSERT OR UPDATE OR DELETE", "INSERT")
    with postgres.connect() as connection:
        connection.execute(text(harm))
        found = triggers.check(connection)
        triggers.create(connection)
        mended = triggers.check(connection)

    assert found == [f"trigger {finding}"]
    assert mended == []


def test_postgres_truncates_none_of_these_tables(postgres: Engine) -> None:
    for table in ("registered_model_aliases", "model_versions", "registered_models"):
        with pytest.raises(IntegrityError, match="imprimatur: truncate: "), postgres.begin() as connection:
            connection.execute(text(f"TRUNCATE {table} CASCADE"))


_FORGED = (
    "SELECT 'digits'::text AS model, 2 AS version, 'production'::text AS environment, NULL::timestamptz AS ended_at"
)


@pytest.mark.parametrize(
    "trick",
    [
        "SET session_replication_role = replica",
        f"CREATE TEMP TABLE imp_release AS {_FORGED}",
        f"CREATE SCHEMA own; CREATE TABLE own.imp_release AS {_FORGED}; SET search_path = own, public",
    ],
)
def test_postgres_tricks_are_no_way_round(postgres: Engine, trick: str) -> None:
    with postgres.connect() as connection:
        _add_model(connection, "digits", versions=(1, 2))
        connection.execute(text("SET LOCAL session_replication_role = origin"))
        connection.execute(text(trick))
        with pytest.raises(IntegrityError, match="imprimatur: protected-alias: "):
            connection.execute(text(f"{_INSERT_ALIAS} ('default', 'digits', 'production', 2)"))


def test_a_rebuilt_table_loses_its_triggers_and_upgrade_puts_them_up(governed_sqlite_url: str) -> None:
    with schema.open_for_migration(governed_sqlite_url) as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("model_versions", recreate="always"):
            pass
    found = schema.check(governed_sqlite_url)
    assert found == [f"trigger imp_guard_version_{event} is missing" for event in ("insert", "update", "delete")]

    schema.upgrade(governed_sqlite_url)

    assert schema.check(governed_sqlite_url) == []
