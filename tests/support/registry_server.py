"""The registry's routes and governed MLflow behind the login, as a process of its own with a real port.

Run as a program it serves one home folder; ``serving_registry`` starts it, and gives tokens to the people of the tests.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from imprimatur.access.model import Role
from imprimatur.core.settings import Settings
from imprimatur.registry.provenance import ModelSigner

PEOPLE = {"ana": Role.ENGINEER, "ben": Role.REVIEWER, "olga": Role.OPERATOR, "root": Role.ADMIN}


@dataclass(frozen=True)
class RegistryServer:
    """A running server: where it is, whose tokens it takes, and the settings of its home."""

    address: str
    tokens: Mapping[str, str]
    settings: Settings

    def http(self, person: str = "ana") -> httpx.Client:
        """A client that is logged in as ``person``."""
        return httpx.Client(base_url=self.address, headers={"Authorization": f"Bearer {self.tokens[person]}"})

    def environment(self, person: str = "ana") -> dict[str, str]:
        """The environment in which an unchanged MLflow client, or our commands, work as ``person``."""
        token = self.tokens[person]
        return {
            **os.environ,
            "MLFLOW_TRACKING_URI": self.address,
            "MLFLOW_TRACKING_TOKEN": token,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "IMPRIMATUR_SERVER": self.address,
            "IMPRIMATUR_TOKEN": token,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
        }

    def run(self, script: str, *arguments: str, person: str = "ana") -> Any:
        """What ``script`` prints as its last line, parsed as JSON; it runs in another process as ``person``."""
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env=self.environment(person),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def serving_registry(home: Path) -> Iterator[RegistryServer]:
    """A server on ``home``, from when it answers until the block ends."""
    with (home / "server.log").open("wb") as log:
        child = subprocess.Popen([sys.executable, __file__, str(home)], stdout=subprocess.PIPE, stderr=log, text=True)
    assert child.stdout is not None
    try:
        line = child.stdout.readline()
        assert line, (home / "server.log").read_text()
        started = json.loads(line)
        yield RegistryServer(started["address"], started["tokens"], Settings(home=home))
    finally:
        child.terminate()
        child.wait()
        child.stdout.close()


def main() -> None:
    """Serve the home folder that the command line names."""
    import uvicorn
    from fastapi import FastAPI

    from imprimatur.access.http import LoginMiddleware
    from imprimatur.access.model import Principal
    from imprimatur.access.service import Accounts
    from imprimatur.api.schema import upgrade
    from imprimatur.audit.service import AuditLog
    from imprimatur.core import problems
    from imprimatur.core.clock import utc_now
    from imprimatur.core.database import Database
    from imprimatur.costs.model import Rates
    from imprimatur.costs.service import Ledger
    from imprimatur.registry.governed import mlflow_app
    from imprimatur.registry.routes import router
    from imprimatur.registry.service import Registry
    from imprimatur.storage.service import SealedStore

    settings = Settings(home=Path(sys.argv[1]))
    upgrade(settings.database)
    log = AuditLog(Database(settings.database))
    accounts = Accounts(log, settings.session_length)
    chief = Principal("chief", frozenset({Role.ADMIN}), "platform")
    for name, role in PEOPLE.items():
        accounts.add(chief, name, [role], "imaging")
    tokens = {name: accounts.issue_token(chief, name, "test") for name in PEOPLE}
    ledger = Ledger(log.database, utc_now, Rates(settings.cpu_hour, settings.gpu_hour, settings.currency))
    registry = Registry(
        log, SealedStore(settings.sealed), ledger, settings.artifacts, ModelSigner.at(settings.model_private)
    )
    app = FastAPI()
    problems.install(app)
    app.include_router(router(registry), prefix="/api/v1")
    app.mount("/", mlflow_app(settings, registry))
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    print(json.dumps({"address": address, "tokens": tokens}), flush=True)
    guarded = LoginMiddleware(app, accounts, settings.allowed_hosts)
    # access lines go to standard output, which nobody reads after the first line: a full pipe would stop the server
    server = uvicorn.Server(uvicorn.Config(guarded, log_level="info", access_log=False))
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
