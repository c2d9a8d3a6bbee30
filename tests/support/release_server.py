"""The rooms of policy and release behind the real login, answering on a port of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from imprimatur.access.http import LoginMiddleware
from imprimatur.access.model import Principal
from imprimatur.core import problems
from imprimatur.core.client import Client
from imprimatur.policy.routes import router as policy_routes
from imprimatur.release.routes import router as release_routes
from release_stage import ANA, BEN, CHO, OLGA, ROOT, Stage


@dataclass(frozen=True)
class Served:
    """A running server, and everybody's token."""

    address: str
    tokens: Mapping[str, str]

    def client(self, person: str) -> Client:
        """The API as that person; as nobody where the name is empty."""
        return Client(self.address, self.tokens.get(person, ""))

    def environment(self, person: str) -> dict[str, str]:
        """The environment of that person's commands."""
        return {"IMPRIMATUR_SERVER": self.address, "IMPRIMATUR_TOKEN": self.tokens[person]}


@contextmanager
def serve(stage: Stage) -> Iterator[Served]:
    """Start the server, and stop it when the block ends."""
    people = (ANA, BEN, CHO, OLGA)
    tokens = {person.name: _token(stage, person) for person in people}
    server = uvicorn.Server(uvicorn.Config(_app(stage), port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Served(f"http://127.0.0.1:{port}", tokens)
    finally:
        server.should_exit = True
        thread.join()


def _app(stage: Stage) -> FastAPI:
    app = FastAPI()
    problems.install(app)
    app.include_router(policy_routes(stage.policies), prefix="/api/v1")
    app.include_router(release_routes(stage.releases), prefix="/api/v1")
    app.add_middleware(LoginMiddleware, accounts=stage.accounts, allowed_hosts=stage.settings.allowed_hosts)
    return app


def _token(stage: Stage, person: Principal) -> str:
    stage.accounts.add(ROOT, person.name, person.roles, person.team)
    return stage.accounts.issue_token(ROOT, person.name, "test")
