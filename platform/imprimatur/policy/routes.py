"""Policies over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from imprimatur.access.http import Caller
from imprimatur.access.model import Action
from imprimatur.core.clock import iso
from imprimatur.policy.model import Policy, PolicyRecord
from imprimatur.policy.service import Policies


class PolicyText(BaseModel):
    """A policy document as its YAML text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(max_length=256 * 1024)


def router(policies: Policies) -> APIRouter:
    """``POST /policies``, ``POST /policies/test``, ``POST /policies/{name}/{version}/approve``, ``GET /policies``."""
    routes = APIRouter(tags=["policies"])

    @routes.post("/policies", status_code=201)
    def apply(caller: Caller, body: PolicyText) -> Mapping[str, Any]:
        """Store a policy whose tests pass; it waits for a second person."""
        return summary(policies.apply(caller, body.text))

    @routes.post("/policies/test")
    def test(caller: Caller, body: PolicyText) -> Mapping[str, Any]:
        """Read and compile a policy and run its tests, without storing anything."""
        caller.require(Action.READ)
        policy = policies.lint(body.text)
        return {**summary(policy), "tests": [result.document() for result in policies.test(body.text)]}

    @routes.post("/policies/{name}/{version}/approve")
    def approve(caller: Caller, name: str, version: int) -> Mapping[str, Any]:
        """Put a policy in force as a second person."""
        policies.approve(caller, name, version)
        return document(policies.record(name, version))

    @routes.get("/policies")
    def every(caller: Caller) -> Mapping[str, Any]:
        """Policies with who applied and approved them, the last applied first."""
        caller.require(Action.READ)
        return {"policies": [document(record) for record in policies.records()]}

    @routes.get("/policies/{name}/{version}")
    def one(caller: Caller, name: str, version: int) -> Mapping[str, Any]:
        """One policy with its whole document."""
        caller.require(Action.READ)
        record = policies.record(name, version)
        return {**document(record), "document": record.policy.document}

    return routes


def summary(policy: Policy) -> dict[str, Any]:
    """What names a policy, as JSON."""
    return {
        "name": policy.name,
        "version": policy.version,
        "digest": policy.digest,
        "environment": policy.environment,
        "rules": [{"id": rule.id, "title": rule.title, "expr": rule.expr} for rule in policy.rules],
        "approvals": [{"role": block.role, "count": block.count} for block in policy.approvals],
        "params": dict(policy.params),
    }


def document(record: PolicyRecord) -> dict[str, Any]:
    """A policy with who applied and approved it, as JSON."""
    return {
        **summary(record.policy),
        "applied_by": record.applied_by,
        "applied_at": iso(record.applied_at),
        "approved_by": record.approved_by,
        "approved_at": iso(record.approved_at) if record.approved_at else None,
    }
