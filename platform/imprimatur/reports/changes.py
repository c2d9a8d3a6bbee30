"""What is different from what stands in production: bytes, data, rules, and every score with its difference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from imprimatur.core.digests import short
from imprimatur.policy.model import Bounds
from imprimatur.reports.model import Dossier, Standing
from imprimatur.reports.requirements import bounds_of


class Trend(StrEnum):
    """Whether a difference is one, and for whom."""

    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "no clear difference"


@dataclass(frozen=True)
class Fact:
    """One thing that production and the version may differ in, in words."""

    what: str
    before: str
    now: str

    @property
    def changed(self) -> bool:
        """Whether it did."""
        return self.before != self.now


@dataclass(frozen=True)
class Difference:
    """A score now less the score in production; the interval is that of the difference."""

    name: str
    before: Bounds
    now: Bounds
    value: float
    ci_low: float
    ci_high: float

    @property
    def trend(self) -> Trend:
        """Better or worse where the interval leaves zero out."""
        if self.ci_low <= 0 <= self.ci_high:
            return Trend.UNCLEAR
        return Trend.BETTER if (self.value < 0) == self.now.lower_is_better else Trend.WORSE


@dataclass(frozen=True)
class Changes:
    """Facts and scores beside production's. ``comparable`` is False where another suite measured the scores."""

    facts: tuple[Fact, ...]
    differences: tuple[Difference, ...]
    comparable: bool


def changes_since(dossier: Dossier, standing: Standing) -> Changes:
    """What is different in ``dossier`` from what stands in its environment."""
    evaluation = dossier.evaluation
    if evaluation is None:
        return Changes(_facts(dossier, standing), (), comparable=False)
    before = {(s.name, s.weights_digest): bounds_of(s) for s in standing.evaluation.scores}
    comparable = evaluation.suite_digest == standing.evaluation.suite_digest
    found = [(s, before.get((s.name, s.weights_digest))) for s in evaluation.scores]
    differences = tuple(_difference(s.name, old, bounds_of(s)) for s, old in found if old is not None and comparable)
    return Changes(_facts(dossier, standing), differences, comparable=comparable)


def _difference(name: str, before: Bounds, now: Bounds) -> Difference:
    """The interval is MOVER's: each side joins the two scores' own distances to their bounds.

    Source: Donner and Zou, "Closed-form confidence intervals for functions of the normal mean and standard
    deviation", Statistical Methods in Medical Research 21(4), 2012.
    """
    value = now.value - before.value
    low = value - math.hypot(now.value - now.ci_low, before.ci_high - before.value)
    high = value + math.hypot(now.ci_high - now.value, before.value - before.ci_low)
    return Difference(name, before, now, value, low, high)


def _facts(dossier: Dossier, standing: Standing) -> tuple[Fact, ...]:
    old, new = standing.version, dossier.version
    decision, evaluation = dossier.decision, dossier.evaluation
    facts = [
        Fact("Sealed bytes", _short(old.manifest_digest), _short(new.manifest_digest)),
        Fact("Base model", _base(old.lineage), _base(new.lineage)),
        Fact("Training data", _data(old.lineage), _data(new.lineage)),
        Fact("Code", _text(old.lineage.get("code_commit")), _text(new.lineage.get("code_commit"))),
    ]
    if decision is not None:
        facts.append(Fact("Policy", _policy(standing), f"{decision.policy_name} v{decision.policy_version}"))
    if evaluation is not None:
        before = standing.evaluation
        facts.append(Fact("Suite", _suite(before.suite_name, before.suite_digest), _suite_of(dossier)))
    return tuple(facts)


def _policy(standing: Standing) -> str:
    return f"{standing.decision.policy_name} v{standing.decision.policy_version}"


def _suite_of(dossier: Dossier) -> str:
    evaluation = dossier.evaluation
    return _suite(evaluation.suite_name, evaluation.suite_digest) if evaluation else ""


def _suite(name: str, digest: str) -> str:
    return f"{name} ({short(digest)})"


def _short(digest: str | None) -> str:
    return short(digest) if digest else "not sealed"


def _base(lineage: Mapping[str, object]) -> str:
    found = lineage.get("base_model")
    return short(str(found)) if found else "none: trained from noise"


def _data(lineage: Mapping[str, object]) -> str:
    found = lineage.get("datasets")
    sets = found if isinstance(found, list) else []
    return ", ".join(f"{entry['name']} ({short(entry['digest'])})" for entry in sets) or "not recorded"


def _text(value: object) -> str:
    return str(value)[:12] if value else "not recorded"
