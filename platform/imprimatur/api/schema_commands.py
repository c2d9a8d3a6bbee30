"""``imprimatur db``: the schema of the one database that MLflow's tables and ours share."""

from __future__ import annotations

from typing import Annotated

import typer

from imprimatur.api import roles, schema
from imprimatur.core.errors import Refused
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import out, print_json

app = typer.Typer(name="db", help="The schema of the one database.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def upgrade(as_json: Json = False) -> None:
    """Bring MLflow's schema and ours up together, and put up the triggers."""
    settings = Settings()
    before = schema.check(settings.database, settings.environments)
    schema.upgrade(settings.database, settings.environments)
    if as_json:
        print_json({"upgraded": bool(before), "was_missing": before})
    else:
        out.print("The database is up to date now." if before else "The database was up to date already.")


@app.command()
def check(as_json: Json = False) -> None:
    """Say what the database lacks; exit status 1 where it lacks anything."""
    settings = Settings()
    missing = schema.check(settings.database, settings.environments)
    if as_json:
        print_json({"missing": missing})
        raise typer.Exit(1 if missing else 0)
    if missing:
        raise Refused("database-behind", f"{'; '.join(missing)}. Run `imprimatur db upgrade`")
    out.print("The database has everything that this release expects.")


@app.command()
def grant(role: Annotated[str, typer.Argument(help="PostgreSQL role that the server logs in with.")]) -> None:
    """Give the server's role what it needs and no more: it can append to the audit log, never change it."""
    roles.grant(Settings().database, role)
    out.print(f"{role} may work with every table, and append to the audit log.")
