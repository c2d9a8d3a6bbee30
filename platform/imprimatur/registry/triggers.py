"""The second depth of refusal: triggers on MLflow's registry tables, for writers that bypass the governed store.

What they hold true, for whoever writes to the database:

- A protected alias stands where, and only where, an active release says so. A promotion or rollback ends the old
  release and inserts the new one first, flushes, and then moves the alias in the same transaction; nobody else has a
  row of ``imp_release`` that fits. Deleting the alias of an active release is refused likewise.
- A version that an environment holds (``imp_hold``) is not deleted, replaced or renamed, and its source, location, run
  and stage do not change; nor is its model deleted or renamed.
- Nothing enters the stages Staging and Production, which MLflow serves like aliases.
- There is one workspace, ``default``: aliases of another one would escape the rules.
- What was appended to the audit log is not changed and not deleted.
- On SQLite no row takes another one's place by its row id: REPLACE removes the other one without its DELETE trigger.

The triggers read our tables only. SQLite has no roles, so whoever can write the file can drop them; on PostgreSQL they
run with their owner's rights and a fixed search path, and stand against TRUNCATE and replication roles too. Migrations
drop and create them anew, since SQLite loses triggers whenever a table is rebuilt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import dedent

from sqlalchemy import text
from sqlalchemy.engine import Connection

from imprimatur.core.errors import BadInput, Fault

ENVIRONMENTS = ("staging", "production")

_ALIASES = "registered_model_aliases"
_VERSIONS = "model_versions"
_MODELS = "registered_models"
_EVENTS = "imp_audit_event"

_ALIAS = (
    "imprimatur: protected-alias: this alias is an environment, and only a release moves it (use imprimatur promote)"
)
_STAGE = "imprimatur: protected-stage: the stages Staging and Production are closed (use imprimatur promote)"
_HELD = "imprimatur: held-version: an environment holds this version, so it can not be changed, deleted or renamed"
_WORKSPACE = "imprimatur: other-workspace: models live in the workspace default only"
_APPENDED = "imprimatur: append-only: what was written in the audit log stays as it is"
_REPLACED = "imprimatur: replaced-row: this row would take the place of another one"
_TRUNCATE = "imprimatur: truncate: this table is guarded row by row"

_HOLDS = "SELECT 1 FROM imp_hold h JOIN imp_version v ON v.id = h.version_id"
_IDENTITY = ("workspace", "name", "version")
_FROZEN = (*_IDENTITY, "source", "storage_location", "run_id", "current_stage")
_ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True)
class Rule:
    """A condition on ``NEW`` and ``OLD`` under which a writer is refused, and the words that it is refused with."""

    refused_if: str
    message: str


@dataclass(frozen=True)
class Guard:
    """The rules of one table by event."""

    name: str
    table: str
    rules: Mapping[str, tuple[Rule, ...]]


def create(connection: Connection, environments: Sequence[str] = ENVIRONMENTS) -> None:
    """Put up every trigger, in place of whatever triggers of ours there are. MLflow's tables and ours must exist."""
    statements = _statements(connection, environments)  # first: nothing is taken down for what can't be put up
    drop(connection)
    for statement in statements:
        connection.exec_driver_sql(statement)


def drop(connection: Connection) -> None:
    """Take down every trigger of ours, those of older releases included."""
    if _on_sqlite(connection):
        for name in _sqlite_found(connection):
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        return
    for name, table in connection.execute(text(_PG_TRIGGERS)).all():
        connection.exec_driver_sql(f'DROP TRIGGER "{name}" ON "{table}"')
    for name in connection.scalars(text(_PG_FUNCTION_NAMES)).all():
        connection.exec_driver_sql(f'DROP FUNCTION "{name}"()')


def check(connection: Connection, environments: Sequence[str] = ENVIRONMENTS) -> list[str]:
    """What is wrong with the triggers, in sentences; empty where each stands as it should."""
    if _on_sqlite(connection):
        found: dict[str, object] = {**_sqlite_found(connection)}
        expected: dict[str, object] = dict(_sqlite_triggers(environments))
    else:
        found = _postgres_found(connection)
        expected = _postgres_expected(_schema(connection), environments)
    missing = [f"trigger {name} is missing" for name in expected if name not in found]
    changed = [f"trigger {name} was changed" for name in expected if found.get(name, expected[name]) != expected[name]]
    unknown = [f"trigger {name} is not one of ours" for name in found if name not in expected]
    return missing + changed + unknown


def _guards(environments: Sequence[str], differs: str) -> tuple[Guard, ...]:
    protected = ", ".join(f"'{name}'" for name in sorted({_checked(name).lower() for name in environments}))

    def protected_alias(row: str) -> str:
        return f"lower({row}.alias) IN ({protected})"

    def changed(*columns: str) -> str:
        return "(" + " OR ".join(f"NEW.{column} {differs} OLD.{column}" for column in columns) + ")"

    set_without_release = Rule(f"{protected_alias('NEW')} AND NOT {_released('NEW')}", _ALIAS)
    taken_from_release = Rule(f"{protected_alias('OLD')} AND {_released('OLD')}", _ALIAS)
    staged = "lower(NEW.current_stage) IN ('production', 'staging')"
    elsewhere = Rule("NEW.workspace <> 'default'", _WORKSPACE)
    aliases = Guard(
        "imp_guard_alias",
        _ALIASES,
        {
            "INSERT": (set_without_release,),
            "UPDATE": (
                set_without_release,
                Rule(f"{changed(*_IDENTITY, 'alias')} AND {taken_from_release.refused_if}", _ALIAS),
            ),
            "DELETE": (taken_from_release,),
        },
    )
    versions = Guard(
        "imp_guard_version",
        _VERSIONS,
        {
            "INSERT": (Rule(staged, _STAGE), Rule(_version_held("NEW"), _HELD)),
            "UPDATE": (
                Rule(f"{staged} AND {changed('current_stage')}", _STAGE),
                Rule(f"{changed(*_FROZEN)} AND {_version_held('OLD')}", _HELD),
                Rule(f"{changed(*_IDENTITY)} AND {_version_held('NEW')}", _HELD),
            ),
            "DELETE": (Rule(_version_held("OLD"), _HELD),),
        },
    )
    models = Guard(
        "imp_guard_model",
        _MODELS,
        {
            "INSERT": (elsewhere, Rule(_model_held("NEW"), _HELD)),
            "UPDATE": (
                elsewhere,
                Rule(f"{changed('workspace', 'name')} AND ({_model_held('OLD')} OR {_model_held('NEW')})", _HELD),
            ),
            "DELETE": (Rule(_model_held("OLD"), _HELD),),
        },
    )
    appended = (Rule("1 = 1", _APPENDED),)
    events = Guard("imp_guard_audit", _EVENTS, {"UPDATE": appended, "DELETE": appended})
    return aliases, versions, models, events


def _released(row: str) -> str:
    active = f"r.environment = {row}.alias AND r.version = {row}.version AND r.ended_at IS NULL"
    release = f"SELECT 1 FROM imp_release r WHERE r.model = {row}.name AND {active}"  # noqa: S608  row is NEW or OLD
    return f"({row}.workspace = 'default' AND EXISTS ({release}))"


def _model_held(row: str) -> str:
    return f"EXISTS ({_HOLDS} WHERE v.model = {row}.name)"


def _version_held(row: str) -> str:
    return f"EXISTS ({_HOLDS} WHERE v.model = {row}.name AND v.version = {row}.version)"


def _checked(environment: str) -> str:
    if _ENVIRONMENT.fullmatch(environment) is None:
        raise BadInput(
            "bad-environment",
            f"{environment!r} can't be an environment (expected letters, digits and ._-, as in 'production')",
        )
    return environment


def _statements(connection: Connection, environments: Sequence[str]) -> list[str]:
    if _on_sqlite(connection):
        return [sql for _, sql in _sqlite_triggers(environments)]
    if connection.dialect.name == "postgresql":
        return _postgres_statements(_schema(connection), environments)
    raise Fault("unknown-database", f"Triggers exist for sqlite and postgresql only (got {connection.dialect.name})")


def _on_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


# --- SQLite: one trigger for each event, whose stored text is compared -----------------------------------------------


def _sqlite_triggers(environments: Sequence[str]) -> list[tuple[str, str]]:
    return [
        (name := f"{guard.name}_{event.lower()}", _sqlite_trigger(name, guard.table, event, rules))
        for guard in _guards(environments, "IS NOT")
        for event, rules in _sqlite_rules(guard).items()
    ]


def _sqlite_rules(guard: Guard) -> dict[str, tuple[Rule, ...]]:
    """The guard's rules by event, and those on row ids, which no other database has.

    A row id that SQLite has yet to choose is -1 here, which it never chooses.
    """
    taken = f"EXISTS (SELECT 1 FROM {guard.table} o WHERE o.rowid = NEW.rowid)"  # noqa: S608  the tables are ours
    added = {"INSERT": (Rule(taken, _REPLACED),), "UPDATE": (Rule("NEW.rowid IS NOT OLD.rowid", _REPLACED),)}
    return {event: (*guard.rules.get(event, ()), *added.get(event, ())) for event in ("INSERT", "UPDATE", "DELETE")}


def _sqlite_trigger(name: str, table: str, event: str, rules: Sequence[Rule]) -> str:
    refusals = [f"SELECT RAISE(ABORT, '{rule.message}') WHERE {rule.refused_if};" for rule in rules]
    return "\n".join([f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW BEGIN", *refusals, "END"])


def _sqlite_found(connection: Connection) -> dict[str, str]:
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'imp\\_%' ESCAPE '\\'"
    return dict(connection.execute(text(query)).all())


# --- PostgreSQL: one function and one trigger for each table, and one against TRUNCATE -------------------------------

_ROW_EVENTS = 1 | 2 | 4 | 8 | 16  # pg_trigger.tgtype: FOR EACH ROW, BEFORE, INSERT, DELETE, UPDATE
_TRUNCATE_EVENT = 2 | 32  # BEFORE, TRUNCATE
_ALWAYS = "A"  # fires for replication roles too

_PG_TRIGGERS = r"""
    SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal AND t.tgname LIKE 'imp\_%'
"""
_PG_FUNCTION_NAMES = r"""
    SELECT proname FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND proname LIKE 'imp\_guard\_%' AND pronargs = 0
"""
_PG_FOUND = r"""
    SELECT t.tgname, c.relname, t.tgtype, t.tgenabled::text, t.tgqual IS NULL AND t.tgattr::text = '',
           p.pronamespace = c.relnamespace, p.prosrc, p.prosecdef, array_to_string(p.proconfig, ';')
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal AND t.tgname LIKE 'imp\_%'
"""


def _schema(connection: Connection) -> str:
    schema = str(connection.scalar(text("SELECT current_schema()")))
    if _SCHEMA.fullmatch(schema) is None:
        raise Fault("unknown-database", f"Schema {schema!r} can't be guarded (expected lower-case letters, digits, _)")
    return schema


def _postgres_statements(schema: str, environments: Sequence[str]) -> list[str]:
    statements = []
    for guard in _guards(environments, "IS DISTINCT FROM"):
        rows, whole = guard.name, f"{guard.name}_truncate"
        statements += [
            _postgres_function(rows, schema, _postgres_body(guard)),
            f"CREATE TRIGGER {rows} BEFORE INSERT OR UPDATE OR DELETE ON {guard.table} "
            f"FOR EACH ROW EXECUTE FUNCTION {rows}()",
            _postgres_function(whole, schema, _truncate_body()),
            f"CREATE TRIGGER {whole} BEFORE TRUNCATE ON {guard.table} FOR EACH STATEMENT EXECUTE FUNCTION {whole}()",
            f"ALTER TABLE {guard.table} ENABLE ALWAYS TRIGGER {rows}, ENABLE ALWAYS TRIGGER {whole}",
        ]
    return statements


def _postgres_function(name: str, schema: str, body: str) -> str:
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        f'SET search_path = "{schema}", pg_temp AS $imprimatur${body}$imprimatur$'
    )


def _postgres_body(guard: Guard) -> str:
    checks = "\n".join(
        f"  IF TG_OP = '{event}' THEN\n" + "\n".join(map(_postgres_refusal, rules)) + "\n  END IF;"
        for event, rules in guard.rules.items()
    )
    return f"\nBEGIN\n{checks}\n  IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;\n  RETURN NEW;\nEND\n"


def _postgres_refusal(rule: Rule) -> str:
    return dedent(
        f"""\
            IF {rule.refused_if} THEN
              RAISE EXCEPTION USING MESSAGE = '{rule.message}', ERRCODE = 'integrity_constraint_violation';
            END IF;"""
    )


def _truncate_body() -> str:
    return f"\nBEGIN\n{_postgres_refusal(Rule('true', _TRUNCATE))}\n  RETURN NULL;\nEND\n"


def _postgres_expected(schema: str, environments: Sequence[str]) -> dict[str, object]:
    path = f"search_path={schema}, pg_temp"
    expected: dict[str, object] = {}
    for guard in _guards(environments, "IS DISTINCT FROM"):
        bodies = {
            guard.name: (_ROW_EVENTS, _postgres_body(guard)),
            f"{guard.name}_truncate": (_TRUNCATE_EVENT, _truncate_body()),
        }
        for name, (events, body) in bodies.items():
            expected[name] = (guard.table, events, _ALWAYS, True, True, body, True, path)
    return expected


def _postgres_found(connection: Connection) -> dict[str, object]:
    return {name: tuple(rest) for name, *rest in connection.execute(text(_PG_FOUND))}
