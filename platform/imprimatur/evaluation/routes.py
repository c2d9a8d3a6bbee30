"""Suites, runs and evidence over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from imprimatur.access.http import Caller
from imprimatur.access.model import Action
from imprimatur.core.clock import iso
from imprimatur.evaluation.model import Evaluation, Status, Suite
from imprimatur.evaluation.service import Evaluations


class SuiteText(BaseModel):
    """A suite document as YAML text."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=1 << 20)]


class Request(BaseModel):
    """Which version to evaluate with which suite (``name`` or ``name@version``)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    version: int
    suite: str
    seed: int = 0


def router(evaluations: Evaluations) -> APIRouter:
    """``/suites``, ``/evaluations`` and ``/evidence``."""
    routes = APIRouter(tags=["evaluation"])

    @routes.post("/suites", status_code=201)
    def add_suite(caller: Caller, body: SuiteText) -> Mapping[str, Any]:
        """Add a suite; the same document is kept once."""
        return suite_document(evaluations.add_suite(caller, body.text))

    @routes.get("/suites")
    def suites(caller: Caller) -> Mapping[str, Any]:
        """All suites."""
        caller.require(Action.READ)
        return {"suites": [suite_document(suite) for suite in evaluations.suites()]}

    @routes.post("/evaluations", status_code=202)
    def request(caller: Caller, body: Request) -> Mapping[str, Any]:
        """Queue a run; a worker takes it up."""
        run = evaluations.request(caller, body.model, body.version, body.suite, body.seed)
        return document(run, workers=evaluations.workers_alive())

    @routes.get("/evaluations/{evaluation_id}")
    def get(caller: Caller, evaluation_id: str) -> Mapping[str, Any]:
        """Where a run stands, and what it measured."""
        caller.require(Action.READ)
        return document(evaluations.get(evaluation_id), workers=evaluations.workers_alive())

    @routes.get("/evidence/{digest}.png")
    def image(caller: Caller, digest: str) -> Response:
        """One image of some run's evidence."""
        caller.require(Action.READ)
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=31536000, immutable"}
        return Response(evaluations.evidence_image(digest), media_type="image/png", headers=headers)

    return routes


def document(run: Evaluation, *, workers: int) -> Mapping[str, Any]:
    """The run as JSON; ``workers`` says how many are alive, so that one who waits knows whether for somebody."""
    return {
        "id": run.id,
        "version_id": run.version_id,
        "manifest_digest": run.manifest_digest,
        "suite": run.suite_name,
        "suite_digest": run.suite_digest,
        "seed": run.seed,
        "status": run.status.value,
        "done": run.done,
        "total": run.total,
        "build": run.build,
        "device": run.device,
        "seconds": run.seconds,
        "scores": [score.document() for score in run.scores],
        "evidence": run.evidence if run.status is Status.COMPLETE else {},
        "digest": run.digest,
        "error": run.error,
        "requested_by": run.requested_by,
        "requested_at": iso(run.requested_at),
        "finished_at": iso(run.finished_at) if run.finished_at else None,
        "workers": workers,
    }


def suite_document(suite: Suite) -> Mapping[str, Any]:
    """The suite as JSON."""
    return {
        "name": suite.name,
        "version": suite.version,
        "digest": suite.digest,
        "backbone": suite.backbone,
        "document": suite.document,
    }
