"""``imprimatur up|server|worker``: the processes of a home folder."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from imprimatur.access.model import Principal, Role
from imprimatur.core import garbage
from imprimatur.core.errors import Fault
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import err, out, print_json

app = typer.Typer(help="The processes of a home folder.")

_ADMIN = Principal("admin", frozenset({Role.ADMIN}), "platform")


@app.command()
def up(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Start server, worker and gateway on this machine, and print a link that logs you in once."""
    from imprimatur.api.processes import Fleet

    settings = Settings()
    link, token = _prepare(settings)
    with Fleet(settings) as fleet:
        err.print("Starting server, worker and gateway (about 15 s) ...")
        fleet.start_server()
        fleet.start_worker()
        fleet.start_gateway()
        where = {
            "server": fleet.server_address,
            "gateway": fleet.gateway_address,
            "login": f"{fleet.server_address}{link}",
        }
        if json:
            print_json({**where, "admin_token": token})
        else:
            _greet(where, token)
        fleet.watch()


@app.command()
def server() -> None:
    """Serve API, pages and MLflow until interrupted."""
    import uvicorn  # with the web framework: only where something is served

    from imprimatur.api.app import build_app
    from imprimatur.api.wiring import House

    settings = Settings()
    _bring_up(settings)
    house = House.open(settings)
    try:
        served = build_app(house)
        garbage.settle()
        uvicorn.run(served, host=settings.host, port=settings.port, access_log=False, timeout_graceful_shutdown=5)
    finally:
        house.close()


@app.command()
def worker() -> None:
    """Run evaluations and watch what is served, until interrupted."""
    from imprimatur.api.watch import watching
    from imprimatur.api.wiring import House
    from imprimatur.evaluation.worker import run_worker

    settings = Settings()
    house = House.open(settings)
    try:
        with watching(house.monitor):
            run_worker(house.evaluations, settings)
    finally:
        house.close()


def _prepare(settings: Settings) -> tuple[str, str]:
    """A login link for the admin, and a token: for 90 days where this home has just been made, else for one."""
    from imprimatur.access.service import Accounts
    from imprimatur.api import schema
    from imprimatur.audit.service import AuditLog
    from imprimatur.core.database import Database

    schema.upgrade(settings.database, settings.environments)
    database = Database(settings.database)
    try:
        accounts = Accounts(AuditLog(database), settings.session_length)
        token = accounts.bootstrap(_ADMIN.name, _ADMIN.team) or accounts.issue_token(_ADMIN, _ADMIN.name, "up", days=1)
        return f"/login?token={accounts.login_link_token(_ADMIN.name)}", token
    finally:
        database.dispose()


def _bring_up(settings: Settings) -> None:
    """An embedded database is brought up here; a shared one is its operator's, who runs ``imprimatur db upgrade``."""
    from imprimatur.api import schema

    if settings.database.startswith("sqlite"):
        schema.upgrade(settings.database, settings.environments)
    missing = schema.check(settings.database, settings.environments)
    if missing:
        raise Fault("database-not-ready", f"{'; '.join(missing)} (expected none); run `imprimatur db upgrade`")


def _greet(where: dict[str, str], token: str) -> None:
    out.print(f"Pages and API   {where['server']}", soft_wrap=True)
    out.print(f"Images API      {where['gateway']}/v1", soft_wrap=True)
    out.print(f"MLflow          {where['server']}/mlflow/", soft_wrap=True)
    out.print(f"Admin's token   {escape(token)}   (for IMPRIMATUR_TOKEN; shown this once)", soft_wrap=True)
    out.print(f"\n[bold]Log in with this link, once, within 15 minutes:[/]\n{escape(where['login'])}\n", soft_wrap=True)
    out.print("Ctrl-C stops everything; the home folder keeps it.")
