"""What the server's own role may do in PostgreSQL: work with every row, but never touch what the audit log holds.

The role that runs ``imprimatur db upgrade`` owns the tables; the one that the server logs in with should be another.
Then it can neither take down a trigger nor change the schema, and PostgreSQL itself refuses it a change of the log.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.engine import Connection

from imprimatur.api.schema import open_for_migration
from imprimatur.core.errors import BadInput, NotFound

_APPEND_ONLY = ("imp_audit_event",)
_READ_ONLY = ("imp_alembic_version", "alembic_version")
_SELECT_ROLE = "SELECT rolsuper, pg_has_role(oid, current_user, 'MEMBER') FROM pg_roles WHERE rolname = :role"


def grant(url: str, role: str) -> None:
    """Give ``role`` what the server needs in the database at ``url``, and no more.

    Raises BadInput ``no-roles`` for SQLite, which has none; ``strong-role`` for a superuser or a member of the owner,
    whom nothing can be refused; NotFound ``no-such-role``.
    """
    with open_for_migration(url) as connection:
        _check(connection, role)
        schema, name = (_quoted(connection, part) for part in (_schema(connection), role))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {name}"))
        connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {name}"))
        connection.execute(text(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {name}"))
        for table in _APPEND_ONLY:
            connection.execute(text(f"REVOKE UPDATE, DELETE ON {table} FROM {name}"))
        for table in _READ_ONLY:
            connection.execute(text(f"REVOKE INSERT, UPDATE, DELETE ON {table} FROM {name}"))


def _check(connection: Connection, role: str) -> None:
    if connection.dialect.name != "postgresql":
        raise BadInput(
            "no-roles",
            f"{connection.dialect.name} has no roles: whoever can write the file can change it (expected PostgreSQL)",
        )
    found = connection.execute(text(_SELECT_ROLE), {"role": role}).one_or_none()
    if found is None:
        raise NotFound("no-such-role", f"There is no role {role!r} (expected one made with CREATE ROLE ... LOGIN)")
    if any(found):
        raise BadInput(
            "strong-role",
            f"Role {role!r} is a superuser, or has the rights of the tables' owner (expected a role of its own), so "
            "PostgreSQL would refuse it nothing",
        )


def _schema(connection: Connection) -> str:
    return str(connection.scalar(text("SELECT current_schema()")))


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(name)
