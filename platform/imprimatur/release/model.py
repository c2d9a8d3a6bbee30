"""Decisions, approvals, releases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imprimatur.core.digests import Digest, Json
from imprimatur.policy.model import RuleResult, Verdict


@dataclass(frozen=True)
class Decision:
    """What a policy said about one manifest for one use, from one evaluation. Signed; never changed."""

    id: str
    submission_id: str
    version_id: str
    model: str
    version: int
    manifest_digest: Digest
    use_digest: Digest
    environment: str
    policy_name: str
    policy_version: int
    policy_digest: Digest
    evaluation_id: str
    evaluation_digest: Digest
    build: str
    verdict: Verdict
    results: tuple[RuleResult, ...]
    facts: Mapping[str, Json]
    decided_by: str
    decided_at: datetime
    digest: Digest
    envelope: Mapping[str, Json]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Ids of the rules that did not come to ``allow``."""
        return tuple(result.id for result in self.results if result.verdict is not Verdict.ALLOW)


class Answer(StrEnum):
    """What a reviewer says to a decision."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True)
class Approval:
    """One reviewer's answer to one decision."""

    id: str
    decision_id: str
    role: str
    person: str
    answer: Answer
    reason: str
    conditions: str
    at: datetime


@dataclass(frozen=True)
class Release:
    """A version standing in an environment from one moment to another."""

    id: str
    decision_id: str
    version_id: str
    model: str
    version: int
    manifest_digest: Digest
    environment: str
    released_by: str
    released_at: datetime
    ended_at: datetime | None
    ended_reason: str | None


@dataclass(frozen=True)
class Revocation:
    """A manifest that nothing may serve any more."""

    manifest_digest: Digest
    reason: str
    revoked_by: str
    revoked_at: datetime
