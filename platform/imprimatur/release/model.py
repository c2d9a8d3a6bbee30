"""Decisions, approvals, releases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imprimatur.core.clock import iso
from imprimatur.core.digests import Digest, Json
from imprimatur.policy.model import Policy, RuleResult, Verdict
from imprimatur.registry.model import Submission


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

    @property
    def label(self) -> str:
        """``model/version``, as people and commands name it."""
        return f"{self.model}/{self.version}"

    @property
    def policy(self) -> str:
        """``name/version`` of the policy that was asked."""
        return f"{self.policy_name}/{self.policy_version}"


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

    def document(self) -> dict[str, Json]:
        """The answer as JSON."""
        return {
            "id": self.id,
            "decision_id": self.decision_id,
            "role": self.role,
            "person": self.person,
            "answer": self.answer.value,
            "reason": self.reason,
            "conditions": self.conditions,
            "at": iso(self.at),
        }


@dataclass(frozen=True)
class DecisionStatus:
    """How a decision stands now.

    ``missing`` says who must still approve, in words such as ``1 approval by a reviewer``; ``stale`` what changed since
    or forbids the version altogether, so that the decision does not apply any more. Both are empty where nothing is.
    ``authors`` registered the version or put it forward once, so that their answers do not count.
    """

    answers: tuple[Approval, ...]
    missing: tuple[str, ...]
    stale: tuple[str, ...]
    authors: frozenset[str]


class End(StrEnum):
    """Why a release ended; the first words of ``Release.ended_reason``."""

    REPLACED = "replaced"
    ROLLED_BACK = "rolled back"
    REVOKED = "revoked"

    def told(self, detail: str) -> str:
        """The reason in words.

        >>> End.REPLACED.told("by digits/2")
        'replaced: by digits/2'
        """
        return f"{self.value}: {detail}"


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

    @property
    def label(self) -> str:
        """``model/version``, as people and commands name it."""
        return f"{self.model}/{self.version}"

    def ended_as(self, end: End) -> bool:
        """Whether the release ended for that reason."""
        return self.ended_reason is not None and self.ended_reason.startswith(end.value)

    def document(self) -> dict[str, Json]:
        """The release as JSON."""
        return {
            "id": self.id,
            "decision_id": self.decision_id,
            "version_id": self.version_id,
            "model": self.model,
            "version": self.version,
            "manifest_digest": self.manifest_digest,
            "environment": self.environment,
            "released_by": self.released_by,
            "released_at": iso(self.released_at),
            "ended_at": iso(self.ended_at) if self.ended_at else None,
            "ended_reason": self.ended_reason,
        }


@dataclass(frozen=True)
class Revocation:
    """A manifest that nothing may serve any more."""

    manifest_digest: Digest
    reason: str
    revoked_by: str
    revoked_at: datetime

    def document(self) -> dict[str, Json]:
        """The revocation as JSON."""
        return {
            "manifest_digest": self.manifest_digest,
            "reason": self.reason,
            "revoked_by": self.revoked_by,
            "revoked_at": iso(self.revoked_at),
        }


@dataclass(frozen=True)
class Course:
    """How far a version has come between its submission and its release.

    ``decision`` is the newest about these very bytes and ``policy`` what decided; ``submission`` is what was decided
    on or, without a decision, the newest; ``releases`` are those that stand.
    """

    submission: Submission | None
    decision: Decision | None
    policy: Policy | None
    status: DecisionStatus
    releases: tuple[Release, ...]
    revocation: Revocation | None
