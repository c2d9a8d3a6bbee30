"""Decisions, answers and releases over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from imprimatur.access.http import Caller
from imprimatur.access.model import Action
from imprimatur.core.clock import iso
from imprimatur.core.signing import key_id_of
from imprimatur.release.model import Answer, Decision, DecisionStatus
from imprimatur.release.service import Releases


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Asked(_Body):
    """A version and the environment that it is meant for."""

    model: str = Field(max_length=256)
    version: int
    environment: str = Field(max_length=64)


class Answered(_Body):
    """A reviewer's answer."""

    answer: Annotated[Answer, Field(strict=False)]
    reason: str
    conditions: str = ""


class Promoted(Asked):
    """A version to release; ``expected`` is the id of the release that it may replace, or ``none``."""

    expected: str | None = None


class RolledBack(_Body):
    """A model to take back to the release before."""

    model: str = Field(max_length=256)
    environment: str = Field(max_length=64)
    reason: str


class Revoked(_Body):
    """A manifest to forbid."""

    digest: str = Field(max_length=128)
    reason: str


def router(releases: Releases) -> APIRouter:
    """``/decisions``, ``/promotions``, ``/rollbacks``, ``/revocations``, ``/models/{model}/history``, ``/bundle``,
    ``/keys``."""
    routes = APIRouter(tags=["releases"])
    _add_decisions(routes, releases)
    _add_releases(routes, releases)
    _add_open(routes, releases)
    return routes


def _add_decisions(routes: APIRouter, releases: Releases) -> None:
    @routes.post("/decisions", status_code=201)
    def decide(caller: Caller, body: Asked) -> Mapping[str, Any]:
        """Ask the policy in force about a version."""
        decision = releases.decide(caller, body.model, body.version, body.environment)
        return document(decision, releases.status(decision))

    @routes.get("/decisions")
    def newest(caller: Caller, model: str, version: int, environment: str) -> Mapping[str, Any]:
        """The decisions on a version for an environment, newest first."""
        caller.require(Action.READ)
        found = releases.decisions_on(model, version, environment)
        statuses = releases.statuses(found)
        return {"decisions": [document(decision, statuses[decision.id]) for decision in found]}

    @routes.get("/decisions/{decision_id}")
    def one(caller: Caller, decision_id: str) -> Mapping[str, Any]:
        """One decision with its signed document."""
        caller.require(Action.READ)
        decision = releases.decision(decision_id)
        shown = document(decision, releases.status(decision))
        return {**shown, "facts": decision.facts, "envelope": decision.envelope}

    @routes.post("/decisions/{decision_id}/approvals", status_code=201)
    def answer(caller: Caller, decision_id: str, body: Answered) -> Mapping[str, Any]:
        """Approve or reject a decision as a second person."""
        return releases.answer(caller, decision_id, body.answer, body.reason, body.conditions).document()


def _add_releases(routes: APIRouter, releases: Releases) -> None:
    @routes.post("/promotions", status_code=201)
    def promote(caller: Caller, body: Promoted) -> Mapping[str, Any]:
        """Release a version."""
        released = releases.promote(caller, body.model, body.version, body.environment, expected=body.expected)
        return released.document()

    @routes.post("/rollbacks", status_code=201)
    def roll_back(caller: Caller, body: RolledBack) -> Mapping[str, Any]:
        """Bring the release before back."""
        return releases.roll_back(caller, body.model, body.environment, body.reason).document()

    @routes.post("/revocations", status_code=201)
    def revoke(caller: Caller, body: Revoked) -> Mapping[str, Any]:
        """Forbid a manifest and end its releases."""
        return releases.revoke(caller, body.digest, body.reason).document()

    @routes.get("/models/{model}/history")
    def history(caller: Caller, model: str, at: Annotated[AwareDatetime | None, Query()] = None) -> Mapping[str, Any]:
        """The model's releases, newest first; those that stood at one moment where it is given."""
        caller.require(Action.READ)
        moment: datetime | None = at
        return {"releases": [release.document() for release in releases.history(model, moment)]}


def _add_open(routes: APIRouter, releases: Releases) -> None:
    @routes.get("/bundle")
    def bundle() -> Mapping[str, Any]:
        """The signed bundle that gateways pull; open, since its signature says enough."""
        return releases.bundle().document()

    @routes.get("/keys")
    def keys() -> Mapping[str, Any]:
        """Public keys that decisions, bundles and checkpoints are verified with, the one in force first.

        Whoever trusts one of them can follow ``successions``, statements signed by old and new, to the others.
        """
        chain = releases.keys
        former = sorted(chain.ring.public_texts - {chain.current.public})
        listed = [
            {
                "key_id": key_id_of(public),
                "algorithm": "ed25519",
                "pem": public,
                "in_force": public == chain.current.public,
            }
            for public in (chain.current.public, *former)
        ]
        return {"keys": listed, "successions": list(chain.statements)}


def document(decision: Decision, status: DecisionStatus) -> dict[str, Any]:
    """A decision with the answers to it, who must still approve, and why it applies no more, as JSON."""
    return {
        "id": decision.id,
        "model": decision.model,
        "version": decision.version,
        "environment": decision.environment,
        "manifest_digest": decision.manifest_digest,
        "use_digest": decision.use_digest,
        "policy": {
            "name": decision.policy_name,
            "version": decision.policy_version,
            "digest": decision.policy_digest,
        },
        "evaluation": {
            "id": decision.evaluation_id,
            "digest": decision.evaluation_digest,
            "build": decision.build,
        },
        "verdict": decision.verdict.value,
        "reasons": list(decision.reasons),
        "results": [result.document() for result in decision.results],
        "decided_by": decision.decided_by,
        "decided_at": iso(decision.decided_at),
        "digest": decision.digest,
        "approvals": [approval.document() for approval in status.answers],
        "missing": list(status.missing),
        "stale": list(status.stale),
    }
