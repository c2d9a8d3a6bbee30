"""`imprimatur access` and `imprimatur cost` against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import typer
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from imprimatur.access import commands as access_commands
from imprimatur.access.http import LoginMiddleware
from imprimatur.access.routes import router as access_router
from imprimatur.access.service import Accounts
from imprimatur.audit.service import AuditLog
from imprimatur.core import problems
from imprimatur.core.clock import utc_now
from imprimatur.core.errors import BadInput, Forbidden
from imprimatur.costs import commands as cost_commands
from imprimatur.costs.model import Kind, Rates
from imprimatur.costs.routes import router as costs_router
from imprimatur.costs.service import Ledger
from signed_bundles import serving

Run = Callable[..., Result]


@pytest.fixture
def ledger(log: AuditLog) -> Ledger:
    """A ledger."""
    return Ledger(log.database, utc_now, Rates(0.2, 2.5, "EUR"))


@pytest.fixture
def run(log: AuditLog, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command as the admin, or as the holder of another token, against a server on a real port."""
    accounts = Accounts(log, timedelta(hours=1))
    app = FastAPI()
    problems.install(app)
    app.include_router(access_router(accounts), prefix="/api/v1")
    app.include_router(costs_router(ledger), prefix="/api/v1")
    token = accounts.bootstrap()
    assert token is not None
    with serving(LoginMiddleware(app, accounts, ["127.0.0.1"])) as address:
        monkeypatch.setenv("IMPRIMATUR_SERVER", address)
        monkeypatch.setenv("IMPRIMATUR_TOKEN", token)

        def invoke(commands: typer.Typer, *arguments: str) -> Result:
            return CliRunner().invoke(commands, arguments)

        yield invoke


def test_people_come_get_tokens_and_lose_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    added = run(
        access_commands.app, "add", "ben", "--role", "reviewer", "--role", "operator", "--team", "law", "--json"
    )
    assert json.loads(added.stdout) == {"name": "ben", "roles": ["operator", "reviewer"], "team": "law"}
    made = json.loads(run(access_commands.app, "token", "ben", "--label", "desk", "--days", "2", "--json").stdout)
    assert (made["principal"], made["days"]) == ("ben", 2)
    assert run(access_commands.app, "token", "ben", "--label", "desk").stdout.startswith("imp_")
    people = json.loads(run(access_commands.app, "list", "--json").stdout)["principals"]
    assert [person["name"] for person in people] == ["admin", "ben"]
    assert "ben" in run(access_commands.app, "list").stdout
    assert json.loads(run(access_commands.app, "revoke", "ben", "--json").stdout)["tokens"] == 2
    again = json.loads(run(access_commands.app, "token", "ben", "--label", "desk", "--json").stdout)["token"]

    monkeypatch.setenv("IMPRIMATUR_TOKEN", again)
    refused = run(access_commands.app, "add", "eve", "--role", "admin", "--team", "law").exception
    assert isinstance(refused, Forbidden)
    assert refused.code == "not-permitted"
    assert refused.exit_status == 1


def test_a_bad_name_is_wrong_usage(run: Run) -> None:
    refused = run(access_commands.app, "add", "Ben", "--role", "reviewer", "--team", "law").exception

    assert isinstance(refused, BadInput)
    assert (refused.code, refused.exit_status) == ("bad-principal", 2)


def test_the_cost_report_adds_up(run: Run, ledger: Ledger) -> None:
    for reference, kind in (("run:a", Kind.TRAINING), ("served:a", Kind.SERVING), ("served:b", Kind.SERVING)):
        ledger.record(
            reference=reference,
            kind=kind,
            team="imaging",
            model="digits",
            version=1,
            device="cpu",
            seconds=1800.0,
            images=10,
        )

    document = json.loads(run(cost_commands.app, "report", "--json").stdout)

    assert document["currency"] == "EUR"
    found = {total["kind"]: (total["amount"], total["seconds"], total["images"]) for total in document["totals"]}
    assert found == {"serving": (0.2, 3600.0, 20), "training": (0.1, 1800.0, 10)}
    assert "digits" in run(cost_commands.app, "report").stdout
