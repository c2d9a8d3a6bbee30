"""A request that the network repeats takes effect once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from imprimatur.access.model import Principal
from imprimatur.api.idempotency import IdempotencyMiddleware
from imprimatur.core import problems
from imprimatur.core.database import Database
from imprimatur.core.errors import Conflict


class Counter:
    """An application that counts what reaches it, and a clock that the test moves."""

    def __init__(self) -> None:
        self.calls = 0
        self.broken = False
        self.gate: threading.Event | None = None
        self.reached = threading.Event()
        self.now = datetime(2026, 11, 23, tzinfo=UTC)

    def app(self, database: Database, caller: Principal) -> ASGIApp:
        """The application behind the middleware, with everybody being ``caller``."""
        inner = FastAPI()
        problems.install(inner)

        @inner.post("/api/v1/things")
        async def make(request: Request) -> JSONResponse:
            body = await request.json()
            return self._answer(body)

        @inner.post("/api/v1/slow")
        def slow() -> dict[str, int]:
            self.reached.set()
            if self.gate is not None:
                self.gate.wait(10)
            self.calls += 1
            return {"number": self.calls}

        once = IdempotencyMiddleware(inner, database, lambda: self.now)

        async def door(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["principal"] = caller
            await once(scope, receive, send)

        return door

    def _answer(self, body: dict[str, str]) -> JSONResponse:
        if self.broken:
            return JSONResponse({"broken": True}, 503)
        self.calls += 1
        if body.get("name") == "taken":
            raise Conflict("taken", "There is one already")
        headers = {"Cache-Control": "no-store"} if body.get("name") == "secret" else {}
        return JSONResponse({"number": self.calls}, 201, headers)


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def client(counter: Counter, database: Database, ana: Principal) -> Iterator[TestClient]:
    with TestClient(counter.app(database, ana)) as opened:
        yield opened


def _post(client: TestClient, name: str, key: str | None = "k1") -> tuple[int, dict[str, object]]:
    headers = {"Idempotency-Key": key} if key else {}
    answer = client.post("/api/v1/things", json={"name": name}, headers=headers)
    return answer.status_code, answer.json()


def test_the_same_request_gets_the_same_answer_and_takes_effect_once(client: TestClient, counter: Counter) -> None:
    assert _post(client, "a") == _post(client, "a") == (201, {"number": 1})
    assert counter.calls == 1


def test_a_refusal_is_repeated_too(client: TestClient, counter: Counter) -> None:
    first, second = _post(client, "taken"), _post(client, "taken")
    assert first == second
    assert (first[0], first[1]["code"], counter.calls) == (409, "taken", 1)


def test_a_key_stands_for_one_request_only(client: TestClient, counter: Counter) -> None:
    _post(client, "a")
    status, body = _post(client, "b")
    assert (status, body["code"], counter.calls) == (422, "key-reused", 1)


def test_without_a_key_and_with_another_key_a_request_counts_again(client: TestClient, counter: Counter) -> None:
    _post(client, "a", None)
    _post(client, "a", None)
    _post(client, "a", "k2")
    assert counter.calls == 3


def test_a_fault_can_be_tried_again_with_the_same_key(client: TestClient, counter: Counter) -> None:
    counter.broken = True
    assert _post(client, "a")[0] == 503
    counter.broken = False
    assert _post(client, "a") == (201, {"number": 1})


def test_an_answer_that_carries_a_secret_is_not_kept(client: TestClient, counter: Counter) -> None:
    _post(client, "secret")
    assert _post(client, "secret") == (201, {"number": 2})


def test_a_repetition_while_the_first_still_runs_is_told_so(client: TestClient, counter: Counter) -> None:
    counter.gate = threading.Event()
    headers = {"Idempotency-Key": "slow"}
    answers: list[int] = []
    first = threading.Thread(
        target=lambda: answers.append(client.post("/api/v1/slow", json={}, headers=headers).status_code)
    )
    first.start()
    assert counter.reached.wait(10)
    second = client.post("/api/v1/slow", json={}, headers=headers)
    counter.gate.set()
    first.join()
    assert (second.status_code, second.json()["code"], answers, counter.calls) == (409, "in-flight", [200], 1)


def test_keys_are_forgotten_after_a_day(client: TestClient, counter: Counter) -> None:
    _post(client, "a")
    counter.now += timedelta(days=1, minutes=1)
    assert _post(client, "a") == (201, {"number": 2})
