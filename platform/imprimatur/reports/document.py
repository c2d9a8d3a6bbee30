"""The report of a version as one JSON document, which the other forms say in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imprimatur.core.clock import iso
from imprimatur.costs.model import Kind
from imprimatur.policy.model import Bounds
from imprimatur.release.model import Approval
from imprimatur.reports.changes import Changes, Difference, changes_since
from imprimatur.reports.limitations import limitations
from imprimatur.reports.model import DataUse, Dossier
from imprimatur.reports.requirements import Requirement, Spent, requirements, verdict_sentence
from imprimatur.reports.words import VERDICTS

SCHEMA = "imprimatur/report/v1"


def document_of(dossier: Dossier) -> dict[str, Any]:
    """Everything in ``dossier`` that a reader or a program needs, without the images."""
    version, submission = dossier.version, dossier.submission
    evaluation = dossier.evaluation
    return {
        "schema": SCHEMA,
        "model": version.model,
        "version": version.version,
        "stage": dossier.stage.value,
        "environments": list(dossier.environments),
        "team": version.team,
        "registered_by": version.registered_by,
        "registered_at": iso(version.registered_at),
        "use": dict(submission.use.document()) if submission else None,
        "submitted_by": submission.submitted_by if submission else None,
        "submitted_at": iso(submission.submitted_at) if submission else None,
        "decision": _decision(dossier),
        "requirements": [_requirement(each) for each in requirements_of(dossier)],
        "scores": [score.document() for score in evaluation.scores] if evaluation else [],
        "changes": _changes(dossier),
        "balance": evaluation.evidence.get("balance", []) if evaluation else [],
        "look_alikes": evaluation.evidence.get("similarity") if evaluation else None,
        "lineage": dict(version.lineage),
        "data": [_data(use) for use in dossier.data],
        "limitations": list(limitations(dossier)),
        "approvals": [_approval(approval) for approval in dossier.approvals],
        "cost": {**{kind.value: dossier.costs.get(kind, 0.0) for kind in Kind}, "currency": dossier.currency},
        "digests": dict(digests_of(dossier)),
    }


def requirements_of(dossier: Dossier) -> tuple[Requirement, ...]:
    """The decision's requirements, failures first; none where nothing is decided."""
    if dossier.decision is None:
        return ()
    standing = dossier.production
    before = standing.decision if standing and not dossier.is_in_production else None
    return requirements(dossier.decision, before, _spent(dossier))


def digests_of(dossier: Dossier) -> Mapping[str, str]:
    """Every digest that the dossier rests on, by what it is of."""
    evaluation, decision, submission = dossier.evaluation, dossier.decision, dossier.submission
    found = {
        "manifest": dossier.version.manifest_digest,
        "use": submission.use.digest if submission else None,
        "suite": evaluation.suite_digest if evaluation else None,
        "evaluation": evaluation.digest if evaluation else None,
        "evaluator build": evaluation.build if evaluation else None,
        "policy": decision.policy_digest if decision else None,
        "decision": decision.digest if decision else None,
    }
    weights = {f"weights of {s.backbone}": s.weights_digest for s in evaluation.scores} if evaluation else {}
    return {name: value for name, value in {**found, **weights}.items() if value}


def _spent(dossier: Dossier) -> Spent:
    evaluation = dossier.evaluation
    cost = dossier.costs.get(Kind.EVALUATION, 0.0)
    return Spent(
        evaluation.total if evaluation else 0, evaluation.seconds if evaluation else 0.0, cost, dossier.currency
    )


def _decision(dossier: Dossier) -> dict[str, Any] | None:
    decision = dossier.decision
    if decision is None:
        return None
    return {
        "id": decision.id,
        "verdict": decision.verdict.value,
        "words": VERDICTS[decision.verdict],
        "sentence": verdict_sentence(decision, dossier.missing),
        "reasons": list(decision.reasons),
        "still_needed": list(dossier.missing),
        "environment": decision.environment,
        "policy": f"{decision.policy_name}/{decision.policy_version}",
        "decided_by": decision.decided_by,
        "decided_at": iso(decision.decided_at),
        "envelope": decision.envelope,
    }


def _requirement(requirement: Requirement) -> dict[str, Any]:
    return {
        **requirement.result.document(),
        "measured": _bounds(requirement.bounds),
        "production": _bounds(requirement.production),
        "settling": str(requirement.settling) if requirement.settling else None,
    }


def _bounds(bounds: Bounds | None) -> dict[str, Any] | None:
    return bounds.document() if bounds else None


def _changes(dossier: Dossier) -> dict[str, Any] | None:
    if dossier.production is None or dossier.is_in_production:
        return None
    changes: Changes = changes_since(dossier, dossier.production)
    return {
        "against": dossier.production.version.label,
        "facts": [{"what": f.what, "before": f.before, "now": f.now} for f in changes.facts if f.changed],
        "differences": [_difference(each) for each in changes.differences],
        "comparable": changes.comparable,
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "name": difference.name,
        "value": difference.value,
        "ci_low": difference.ci_low,
        "ci_high": difference.ci_high,
        "trend": difference.trend.value,
    }


def _data(use: DataUse) -> dict[str, Any]:
    known = use.known
    return {
        "name": use.name,
        "role": use.role,
        "digest": use.digest,
        "licence": use.licence,
        "owner": known.owner if known else None,
        "source": known.source if known else None,
        "rows": known.rows if known else None,
        "gaps": list(use.gaps),
    }


def _approval(approval: Approval) -> dict[str, Any]:
    return {
        "person": approval.person,
        "role": approval.role,
        "answer": approval.answer.value,
        "reason": approval.reason,
        "conditions": approval.conditions,
        "at": iso(approval.at),
    }
