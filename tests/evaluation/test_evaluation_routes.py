"""Suites, runs and evidence over HTTP, and the command that speaks it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import typer
import uvicorn
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import Response
from typer.testing import CliRunner

from evaluation_stage import ENGINEER, SUITE, Stage
from imprimatur.core import problems
from imprimatur.core.errors import Fault
from imprimatur.datasets import commands as dataset_commands
from imprimatur.datasets.routes import router as dataset_routes
from imprimatur.evaluation.commands import evaluate
from imprimatur.evaluation.routes import router
from imprimatur.evaluation.worker import Worker


class _AsAna(BaseHTTPMiddleware):
    """Lets every request be the engineer's; who may come in is the access room's business."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        request.state.principal = ENGINEER
        return await call_next(request)


@pytest.fixture
def app(stage: Stage) -> FastAPI:
    """The routes of both rooms, as the server mounts them."""
    app = FastAPI()
    problems.install(app)
    app.add_middleware(_AsAna)
    app.include_router(router(stage.evaluations), prefix="/api/v1")
    app.include_router(dataset_routes(stage.datasets), prefix="/api/v1")
    return app


@pytest.fixture
def http(app: FastAPI) -> TestClient:
    """A client inside the process."""
    return TestClient(app)


def test_a_run_is_accepted_then_complete(http: TestClient, stage: Stage) -> None:
    asked = http.post("/api/v1/evaluations", json={"model": "tiny", "version": 1, "suite": "tiny", "seed": 3})

    assert asked.status_code == 202
    queued = asked.json()
    assert (queued["status"], queued["done"], queued["total"], queued["workers"]) == ("queued", 0, 58, 0)
    assert queued["evidence"] == {}

    stage.evaluations.run(queued["id"])

    done = http.get(f"/api/v1/evaluations/{queued['id']}").json()
    assert (done["status"], done["done"], len(done["scores"])) == ("complete", 58, 7)
    shown = http.get(f"/api/v1/evidence/{done['evidence']['pairs'][0]['work_blob']}.png")
    assert shown.status_code == 200
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert shown.content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v1/evaluations/eval-none", "no-such-evaluation"),
        ("/api/v1/evidence/sha256:" + "0" * 64 + ".png", "no-such-evidence"),
        ("/api/v1/evidence/..%2F..%2Fimprimatur.db.png", "no-such-evidence"),
        ("/api/v1/datasets/none", "no-such-dataset"),
    ],
)
def test_what_is_not_there_is_404(http: TestClient, path: str, code: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 404
    assert answer.json().get("code", code) == code


def test_a_blob_that_no_evidence_names_is_never_shown(http: TestClient, stage: Stage) -> None:
    secret = stage.datasets.get("protected").digest
    assert http.get(f"/api/v1/evidence/{secret}.png").status_code == 404


def test_suites_are_added_and_listed(http: TestClient) -> None:
    added = http.post("/api/v1/suites", json={"text": SUITE.replace("version: 1", "version: 2")})
    assert added.status_code == 201
    assert [suite["version"] for suite in http.get("/api/v1/suites").json()["suites"]] == [2, 1]
    refused = http.post("/api/v1/suites", json={"text": "kind: nothing"})
    assert (refused.status_code, refused.json()["code"]) == (422, "bad-suite")


def test_numbers_are_numbers(http: TestClient) -> None:
    for version in ("1", 1.5, True):
        answer = http.post("/api/v1/evaluations", json={"model": "tiny", "version": version, "suite": "tiny"})
        assert answer.status_code == 422


def test_datasets_are_uploaded_and_listed(http: TestClient, stage: Stage) -> None:
    parquet = stage.store.read_blob(stage.datasets.get("reference").digest)
    fields = {"name": "copy", "kind": "reference", "owner": "us", "licence": "CC0-1.0", "source": "here"}

    added = http.post("/api/v1/datasets", data=fields, files={"file": parquet})

    assert added.status_code == 201
    assert added.json()["validation"]["passed"]
    assert http.get("/api/v1/datasets").json()["datasets"][0]["name"] == "copy"
    assert http.get("/api/v1/datasets/copy").json() == added.json()
    broken = http.post("/api/v1/datasets", data=fields, files={"file": b"no parquet"})
    assert (broken.status_code, broken.json()["code"]) == (422, "not-parquet")


@pytest.fixture
def address(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server on a free port, which commands are told of."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    monkeypatch.setenv("IMPRIMATUR_SERVER", f"http://127.0.0.1:{port}")
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def cli() -> typer.Typer:
    """The two groups as the command line has them."""
    app = typer.Typer()
    app.command()(evaluate)
    app.add_typer(dataset_commands.app)
    return app


def test_the_command_waits_with_a_bar_and_prints_one_document(
    address: str, cli: typer.Typer, stage: Stage, tmp_path: Path
) -> None:
    suite = tmp_path / "mine.yaml"
    suite.write_text(SUITE.replace("name: tiny,", "name: mine,"))
    stop = threading.Event()
    worker = Worker(stage.evaluations, stage.settings.jobs_database)
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        result = CliRunner().invoke(cli, ["evaluate", "tiny/1", "--suite", str(suite), "--json"])
    finally:
        stop.set()
        thread.join()

    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["suite"], document["status"], document["done"]) == ("mine", "complete", 58)
    assert "58/58" in result.stderr


def test_the_command_need_not_wait(address: str, cli: typer.Typer) -> None:
    result = CliRunner().invoke(cli, ["evaluate", "tiny/1", "--suite", "tiny", "--no-wait", "--json"])

    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["status"] == "queued"


def test_the_command_fails_when_the_run_does(address: str, cli: typer.Typer, stage: Stage) -> None:
    run = stage.evaluations.request(ENGINEER, "tiny", 1, "tiny")
    stage.evaluations.abandon(run.id, "for the test")
    queued = stage.evaluations.request(ENGINEER, "tiny", 1, "tiny")
    threading.Timer(0.2, stage.evaluations.abandon, (queued.id, "for the test")).start()

    result = CliRunner().invoke(cli, ["evaluate", "tiny/1", "--suite", "tiny"])

    assert isinstance(result.exception, Fault)
    assert result.exception.code == "evaluation-failed"
    assert "job-ended: for the test" in result.exception.message


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["evaluate", "tiny", "--suite", "tiny"], "bad-usage"),
        (["evaluate", "tiny/one", "--suite", "tiny"], "bad-usage"),
        (["evaluate", "tiny/1", "--suite", "no-such-file.yaml"], "bad-suite"),
        (["evaluate", "tiny/1", "--suite", "none"], "no-such-suite"),
        (["evaluate", "none/1", "--suite", "tiny"], "no-such-model"),
    ],
)
def test_the_command_says_what_is_wrong(address: str, cli: typer.Typer, arguments: list[str], code: str) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert getattr(result.exception, "code", result.output) == code


def test_datasets_are_built_validated_added_and_listed(
    address: str, cli: typer.Typer, stage: Stage, tmp_path: Path
) -> None:
    images = tmp_path / "works" / "3"
    images.mkdir(parents=True)
    works = stage.datasets.table(stage.datasets.get("protected")).column("image").to_pylist()
    for number, png in enumerate(works):
        (images / f"{number}.png").write_bytes(png)
    what = ["--kind", "protected", "--images", str(tmp_path / "works"), "--licence", "all rights reserved"]
    who = ["--owner", "Ada", "--source", "archive"]

    added = CliRunner().invoke(cli, ["dataset", "add", "archive", *what, *who, "--json"])
    listed = CliRunner().invoke(cli, ["dataset", "list"])
    checked = CliRunner().invoke(cli, ["dataset", "validate", *what])

    assert added.exit_code == 0, added.output
    assert json.loads(added.stdout)["validation"]["passed"]
    assert "archive" in listed.stdout
    assert checked.exit_code == 1  # the works' owner and source are not stated
    assert httpx.get(f"{address}/api/v1/datasets/archive").json()["rows"] == 2
