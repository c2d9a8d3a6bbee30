"""Policies, facts and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from imprimatur.core.digests import Digest, Json

Plain: TypeAlias = "bool | int | float | str | tuple[str, ...]"


class Verdict(StrEnum):
    """What a policy says. Only ``allow`` releases anything."""

    ALLOW = "allow"
    DENY = "deny"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Bounds:
    """A score as a rule sees it: estimate, interval, number of images, and which way is better."""

    value: float
    ci_low: float
    ci_high: float
    n: int
    lower_is_better: bool


@dataclass(frozen=True)
class Facts:
    """Everything that a policy may look at, as flat dotted names; a missing fact is absent, never a default."""

    plain: Mapping[str, Plain]
    scores: Mapping[str, Bounds]


@dataclass(frozen=True)
class Approvals:
    """How many people of which role must approve."""

    role: str
    count: int


@dataclass(frozen=True)
class Rule:
    """One requirement: a CEL expression that must hold, and how to say that it does not."""

    id: str
    title: str
    expr: str
    message: str
    control: str
    waivable: bool


@dataclass(frozen=True)
class Policy:
    """One immutable version of a policy; ``digest`` is that of the document's canonical JSON."""

    name: str
    version: int
    digest: Digest
    environment: str
    params: Mapping[str, float | int | str | bool]
    approvals: tuple[Approvals, ...]
    rules: tuple[Rule, ...]
    tests: tuple[Mapping[str, Json], ...]
    document: Mapping[str, Json]


@dataclass(frozen=True)
class RuleResult:
    """What one rule came to. ``score`` and ``limit`` are set where the rule compares one score with one parameter."""

    id: str
    title: str
    verdict: Verdict
    message: str
    control: str
    score: str | None
    limit: float | None
    reason: str

    def document(self) -> Mapping[str, Json]:
        """The result as JSON."""
        return {
            "id": self.id,
            "title": self.title,
            "verdict": self.verdict.value,
            "message": self.message,
            "control": self.control,
            "score": self.score,
            "limit": self.limit,
            "reason": self.reason,
        }
