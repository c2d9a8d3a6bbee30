"""The database itself refuses a change of what the log holds, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from imprimatur.api import roles
from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Database
from imprimatur.core.errors import BadInput, NotFound

CHANGES = (
    "UPDATE imp_audit_event SET actor = 'eve' WHERE position = 1",
    "UPDATE imp_audit_event SET position = 9 WHERE position = 1",
    "DELETE FROM imp_audit_event WHERE position = 2",
    "DELETE FROM imp_audit_event",
)


def _logged(url: str) -> Iterator[AuditLog]:
    database = Database(url)
    log = AuditLog(database)
    with log.unit_of_work("ana", "note.write", "digits/1") as unit:
        for n in range(3):
            unit.record("note.written", n=n)
    yield log
    database.dispose()


@pytest.fixture
def governed(governed_url: str) -> Iterator[AuditLog]:
    """The log of each kind of governed database."""
    yield from _logged(governed_url)


@pytest.fixture
def on_postgres(governed_postgres_url: str) -> Iterator[AuditLog]:
    """The log of a governed PostgreSQL database."""
    yield from _logged(governed_postgres_url)


@pytest.mark.parametrize("statement", CHANGES)
def test_what_was_appended_stays(governed: AuditLog, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), governed.database.transaction() as session:
        session.execute(text(statement))

    assert [event.actor for event in governed.recent()] == ["ana"] * 3


@pytest.fixture
def as_server(on_postgres: AuditLog) -> Iterator[AuditLog]:
    """The same log, seen by the role that the server logs in with."""
    role = "imprimatur_server"
    with on_postgres.database.transaction() as session:
        session.execute(text(f"CREATE ROLE {role} LOGIN"))
    roles.grant(on_postgres.database.url, role)
    database = Database(on_postgres.database.url.replace("imprimatur@", f"{role}@"))
    yield AuditLog(database)
    database.dispose()
    with on_postgres.database.transaction() as session:
        session.execute(text(f"DROP OWNED BY {role}"))
        session.execute(text(f"DROP ROLE {role}"))


def test_the_servers_role_can_append(as_server: AuditLog) -> None:
    with as_server.unit_of_work("ben", "note.write", "digits/1") as unit:
        unit.record("note.written", n=3)

    assert as_server.head().size == 4


@pytest.mark.parametrize(
    "statement",
    [
        *CHANGES,
        "TRUNCATE imp_audit_event",
        "ALTER TABLE imp_audit_event DISABLE TRIGGER ALL",
        "DROP TRIGGER imp_guard_audit ON imp_audit_event",
        "DROP TABLE imp_audit_event",
        "CREATE OR REPLACE FUNCTION imp_guard_audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "SET session_replication_role = replica",
        "UPDATE imp_alembic_version SET version_num = '0000'",
    ],
)
def test_the_servers_role_can_do_no_more(as_server: AuditLog, statement: str) -> None:
    refused = pytest.raises(ProgrammingError, match=r"permission denied|must be owner")
    with refused, as_server.database.transaction() as session:
        session.execute(text(statement))

    assert [event.actor for event in as_server.recent()] == ["ana"] * 3


def test_a_role_that_nothing_can_be_refused_is_named(on_postgres: AuditLog) -> None:
    with pytest.raises(BadInput, match="role of its own"):
        roles.grant(on_postgres.database.url, "imprimatur")
    with pytest.raises(NotFound, match="no role"):
        roles.grant(on_postgres.database.url, "nobody_of_that_name")


def test_sqlite_has_no_roles_and_says_so(governed_sqlite_url: str) -> None:
    with pytest.raises(BadInput, match="has no roles"):
        roles.grant(governed_sqlite_url, "imprimatur_server")
