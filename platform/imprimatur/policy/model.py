"""Policies, facts and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

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

    def document(self) -> dict[str, Json]:
        """The bounds as JSON."""
        return {
            "value": self.value,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "n": self.n,
            "lower_is_better": self.lower_is_better,
        }


@dataclass(frozen=True)
class Facts:
    """Everything that a policy may look at, as flat dotted names; a missing fact is absent, never a default.

    ``deltas`` are differences to what stands in the environment, by the same names as ``scores``.
    """

    plain: Mapping[str, Plain]
    scores: Mapping[str, Bounds]
    deltas: Mapping[str, Bounds] = field(default_factory=dict)

    def document(self) -> dict[str, Json]:
        """The facts as JSON: one flat object; a score is an object with its bounds."""
        plain: dict[str, Json] = {
            name: list(value) if isinstance(value, tuple) else value for name, value in self.plain.items()
        }
        scores: dict[str, Json] = {f"score.{name}": bounds.document() for name, bounds in self.scores.items()}
        deltas: dict[str, Json] = {f"delta.{name}": bounds.document() for name, bounds in self.deltas.items()}
        return {**plain, **scores, **deltas}


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
class Case:
    """One test inside a policy: facts that differ from the baseline (None removes one), and what must come of it.

    ``expect`` maps rule ids, and ``verdict`` for the whole policy, to ``allow``, ``deny``, ``undecided`` or ``error``
    (undecided because a fact is missing or the expression failed).
    """

    name: str
    changes: Mapping[str, Json]
    expect: Mapping[str, str]


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
    baseline: Mapping[str, Json]
    tests: tuple[Case, ...]
    document: Mapping[str, Json]

    @property
    def label(self) -> str:
        """``name/version``, as people and commands name it."""
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class PolicyRecord:
    """A policy with who applied and who approved it."""

    policy: Policy
    applied_by: str
    applied_at: datetime
    approved_by: str | None
    approved_at: datetime | None


@dataclass(frozen=True)
class RuleResult:
    """What one rule came to. ``score`` and ``limit`` are set where the rule compares one score with one parameter.

    ``message`` is a sentence for people; ``reason`` says for engineers how the verdict came about; ``error`` is set
    where it is undecided because a fact was missing or the expression could not be evaluated.
    """

    id: str
    title: str
    verdict: Verdict
    message: str
    control: str
    score: str | None
    limit: float | None
    reason: str
    error: bool = False

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
            "error": self.error,
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> RuleResult:
        """The result that ``document`` states."""
        return cls(**{**document, "verdict": Verdict(document["verdict"])})


@dataclass(frozen=True)
class Judgement:
    """What a policy came to on one set of facts, rule by rule."""

    verdict: Verdict
    results: tuple[RuleResult, ...]


def verdict_over(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict over those of all rules: one deny denies, then one undecided leaves it open. None never allows.

    >>> verdict_over([Verdict.ALLOW, Verdict.UNDECIDED]).value, verdict_over([]).value
    ('undecided', 'undecided')
    """
    if Verdict.DENY in verdicts:
        return Verdict.DENY
    if not verdicts or Verdict.UNDECIDED in verdicts:
        return Verdict.UNDECIDED
    return Verdict.ALLOW
