"""Every error of ours reaches HTTP as a problem document with a stable code."""

from __future__ import annotations

import json

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from imprimatur.core import problems
from imprimatur.core.errors import BadInput, Conflict, Fault, Forbidden, ImprimaturError, NotFound, Unauthenticated


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadInput("bad-suite", "x"), 422),
        (Unauthenticated("bad-token", "x"), 401),
        (Forbidden("not-permitted", "x"), 403),
        (NotFound("no-such-model", "x"), 404),
        (Conflict("release-moved", "x"), 409),
        (Fault("store-away", "x"), 500),
    ],
)
def test_an_error_has_one_status_and_keeps_its_code_and_facts(error: ImprimaturError, status: int) -> None:
    app = FastAPI()
    problems.install(app)
    error.facts = {"reasons": ["look-alikes"]}

    @app.get("/")
    def _fail() -> None:
        raise error

    answer = TestClient(app).get("/")

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == error.code
    assert answer.json()["facts"] == {"reasons": ["look-alikes"]}


def test_an_error_about_half_a_character_is_still_answered() -> None:
    error = BadInput("bad-name", "half \ud800 é", file="\udcff")

    answer = problems.problem(error)

    assert answer.status_code == 422
    body = bytes(answer.body)
    assert json.loads(body)["detail"] == error.message
    assert json.loads(body)["facts"] == error.facts
    assert "é".encode() in body


def test_a_request_that_does_not_parse_is_a_problem_too() -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/{number}")
    def _number(number: int) -> int:
        return number

    answer = TestClient(app).get("/x")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-request")
    assert "path.number" in answer.json()["detail"]
