"""What a decision came to, requirement by requirement, with everything that a reviewer compares it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imprimatur.policy.model import Bounds, RuleResult, Verdict
from imprimatur.policy.sentences import images_to_settle
from imprimatur.release.model import Decision
from imprimatur.reports.words import counted, duration, money, needed
from imprimatur_evaluators.spec import Direction, Score

_ORDER = {Verdict.DENY: 0, Verdict.UNDECIDED: 1, Verdict.ALLOW: 2}


@dataclass(frozen=True)
class Settling:
    """What would settle an open requirement: about how many images in all, and what they take."""

    images: int
    seconds: float
    cost: float
    currency: str

    def __str__(self) -> str:
        return f"Running them: about {duration(self.seconds)}, {money(self.cost, self.currency)}."


@dataclass(frozen=True)
class Requirement:
    """One rule with the score that it is about, production's score, and what would settle it where it is open."""

    result: RuleResult
    bounds: Bounds | None
    production: Bounds | None
    settling: Settling | None

    @property
    def sentence(self) -> str:
        """The result's message without the title that stands over it; empty where it says nothing more."""
        said = self.result.message.removeprefix(self.result.title).lstrip(":, ").rstrip(".")
        return "" if said == "met" else f"{said[:1].upper()}{said[1:]}."


@dataclass(frozen=True)
class Spent:
    """What the evaluation behind a decision took, to tell what more images would take."""

    images: int
    seconds: float
    cost: float
    currency: str


def requirements(decision: Decision, production: Decision | None, spent: Spent) -> tuple[Requirement, ...]:
    """The decision's requirements, failures first, open ones next, in the policy's order otherwise."""
    ordered = sorted(decision.results, key=lambda result: _ORDER[result.verdict])
    return tuple(_requirement(result, decision, production, spent) for result in ordered)


def bounds_in(facts: Mapping[str, Any], score: str | None) -> Bounds | None:
    """The bounds of ``score`` among a decision's facts; None where the facts have none."""
    found = facts.get(f"score.{score}")
    return Bounds(**found) if score and isinstance(found, Mapping) else None


def bounds_of(score: Score) -> Bounds:
    """A measured score as rules see it."""
    lower = score.direction is Direction.LOWER
    return Bounds(score.value, score.ci_low, score.ci_high, score.n, lower_is_better=lower)


def verdict_sentence(decision: Decision, missing: Sequence[str]) -> str:
    """The verdict in one sentence, with what fails or what is still needed."""
    policy = f"policy {decision.policy_name} v{decision.policy_version}"
    met = sum(result.verdict is Verdict.ALLOW for result in decision.results)
    total = counted(len(decision.results), "requirement")
    if decision.verdict is Verdict.ALLOW:
        return f"Meets {policy}: {met} of {total}. {needed(missing)}".rstrip()
    first, others = _first_of(decision)
    more = f" {counted(others, 'more requirement')} {'is' if others == 1 else 'are'} not met." if others else ""
    if decision.verdict is Verdict.DENY:
        return f"Does not meet {policy}: {first}{more}"
    return f"Cannot be decided under {policy}: {first}{more}"


def _first_of(decision: Decision) -> tuple[str, int]:
    """The first message of the worst kind, as a sentence, and how many requirements more are not met."""
    unmet = [r for r in decision.results if r.verdict is not Verdict.ALLOW]
    if not unmet:
        return "the policy has no requirement that was met.", 0
    worst = min(unmet, key=lambda result: _ORDER[result.verdict])
    return f"{worst.message.rstrip('.')}.", len(unmet) - 1


def _requirement(result: RuleResult, decision: Decision, production: Decision | None, spent: Spent) -> Requirement:
    bounds = bounds_in(decision.facts, result.score)
    before = bounds_in(production.facts, result.score) if production else None
    settling = None
    if result.verdict is Verdict.UNDECIDED and bounds is not None and result.limit is not None:
        settling = _settling(bounds, result.limit, spent)
    return Requirement(result, bounds, before, settling)


def _settling(bounds: Bounds, limit: float, spent: Spent) -> Settling | None:
    images = images_to_settle(bounds, limit)
    if images is None or bounds.n == 0:
        return None
    scale = images / bounds.n
    return Settling(images, spent.seconds * scale, spent.cost * scale, spent.currency)
