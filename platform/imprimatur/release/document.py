"""Decisions as the documents that are signed, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from imprimatur.core.clock import iso
from imprimatur.core.digests import Json, digest_of_bytes, digest_of_json, new_id
from imprimatur.core.errors import Tampered
from imprimatur.core.signing import Envelope, KeyRing, SigningKey
from imprimatur.policy.model import Judgement, RuleResult, Verdict
from imprimatur.release.case import Case
from imprimatur.release.model import Decision

DECISION_TYPE = "application/vnd.imprimatur.decision+json"
ENGINE = "cel-expr-python"


def signed(case: Case, judgement: Judgement, key: SigningKey, *, by: str, at: datetime) -> Decision:
    """The decision that ``judgement`` on ``case`` is, signed."""
    envelope = key.sign(DECISION_TYPE, _payload(case, judgement, by=by, at=at))
    return _decision(envelope)


def verified(decision: Decision, ring: KeyRing) -> Decision:
    """``decision``, once its envelope is signed by one of ours and says the same.

    Raises Tampered ``bad-signature``, ``bad-envelope`` or ``decision-changed``.
    """
    envelope = Envelope.parse(decision.envelope)
    ring.open(envelope, DECISION_TYPE)
    if _decision(envelope) != decision:
        raise Tampered(
            "decision-changed",
            f"The record of decision {decision.id} says something else than its signed document (expected the same); "
            "somebody changed the database: restore it, and verify the audit log",
        )
    return decision


def same_outcome(decision: Decision, case: Case, judgement: Judgement) -> bool:
    """Whether ``decision`` rests on the same submission, policy, evaluation and facts, with the same results."""
    return (
        decision.submission_id == case.submission.id
        and decision.manifest_digest == case.manifest
        and decision.use_digest == case.submission.use.digest
        and decision.policy_digest == case.policy.digest
        and decision.evaluation_digest == case.evaluation.digest
        and decision.results == judgement.results
        and digest_of_json(decision.facts) == digest_of_json(case.facts.document())
    )


def _payload(case: Case, judgement: Judgement, *, by: str, at: datetime) -> dict[str, Json]:
    return {
        "id": new_id("dec"),
        "submission_id": case.submission.id,
        "submitted_by": case.submission.submitted_by,
        "registered_by": case.version.registered_by,
        "version_id": case.version.id,
        "model": case.version.model,
        "version": case.version.version,
        "manifest_digest": case.manifest,
        "use": case.submission.use.document(),
        "use_digest": case.submission.use.digest,
        "environment": case.environment,
        "policy_name": case.policy.name,
        "policy_version": case.policy.version,
        "policy_digest": case.policy.digest,
        "required_approvals": [{"role": block.role, "count": block.count} for block in case.policy.approvals],
        "evaluation_id": case.evaluation.id,
        "evaluation_digest": case.evaluation.digest,
        "build": case.evaluation.build,
        "engine": ENGINE,
        "verdict": judgement.verdict.value,
        "results": [result.document() for result in judgement.results],
        "facts": case.facts.document(),
        "decided_by": by,
        "decided_at": iso(at),
    }


def _decision(envelope: Envelope) -> Decision:
    payload = _parsed(envelope)
    return Decision(
        id=payload["id"],
        submission_id=payload["submission_id"],
        version_id=payload["version_id"],
        model=payload["model"],
        version=payload["version"],
        manifest_digest=payload["manifest_digest"],
        use_digest=payload["use_digest"],
        environment=payload["environment"],
        policy_name=payload["policy_name"],
        policy_version=payload["policy_version"],
        policy_digest=payload["policy_digest"],
        evaluation_id=payload["evaluation_id"],
        evaluation_digest=payload["evaluation_digest"],
        build=payload["build"],
        verdict=Verdict(payload["verdict"]),
        results=tuple(RuleResult.parse(result) for result in payload["results"]),
        facts=payload["facts"],
        decided_by=payload["decided_by"],
        decided_at=datetime.fromisoformat(payload["decided_at"]),
        digest=digest_of_bytes(envelope.payload),
        envelope=envelope.document(),
    )


def _parsed(envelope: Envelope) -> Mapping[str, Any]:
    payload: Mapping[str, Any] = json.loads(envelope.payload)
    return payload
