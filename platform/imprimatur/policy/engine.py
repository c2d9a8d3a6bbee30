"""Judging facts by a policy: every rule on every bound of the scores that it names, in three words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from imprimatur.core.errors import BadInput
from imprimatur.policy.facts import (
    Kind,
    Reference,
    Value,
    admit_bounds,
    admit_plain,
    comparison,
    kind_of,
    references,
    thawed,
)
from imprimatur.policy.guard import GuardedCel, Outcome, shared_cel
from imprimatur.policy.model import Bounds, Facts, Judgement, Policy, Rule, RuleResult, Verdict, verdict_over
from imprimatur.policy.sentences import Shown, sentence

Values = Mapping[str, Value]


@dataclass(frozen=True)
class _Finding:
    """What a rule came to, and why. ``error`` where a fact was missing or the expression failed."""

    verdict: Verdict
    reason: str
    error: bool = False


class Engine:
    """Compiles and judges policies through a guarded CEL process."""

    def __init__(self, cel: GuardedCel) -> None:
        self._cel = cel

    def check(self, policy: Policy) -> None:
        """Raise BadInput ``bad-policy`` where a rule's expression does not compile to a bool."""
        for number, rule in enumerate(policy.rules):
            answer = self._cel.compile(_declared(rule, policy), rule.expr)
            if answer.outcome is not Outcome.COMPILED:
                place = f"rules[{number}].expr"
                raise BadInput(
                    "bad-policy",
                    f"{place}: found {rule.expr} which does not compile (expected CEL that gives true or false; "
                    f"decimal numbers need a point, as in 20.0): {answer.message}",
                    where=place,
                    found=rule.expr,
                    expected="CEL that gives true or false",
                )

    def judge(self, policy: Policy, facts: Facts) -> Judgement:
        """The verdict of every rule and of all together. A missing fact or a failing expression is never a yes."""
        sound = Facts(admit_plain(facts.plain), admit_bounds(facts.scores), admit_bounds(facts.deltas))
        results = tuple(self._result(policy, rule, sound) for rule in policy.rules)
        return Judgement(verdict_over([result.verdict for result in results]), results)

    def _result(self, policy: Policy, rule: Rule, facts: Facts) -> RuleResult:
        finding = self._finding(policy, rule, facts)
        compared = comparison(rule.expr)
        limit = policy.params.get(compared.param) if compared else None
        numeric = isinstance(limit, int | float) and not isinstance(limit, bool)
        shown = _shown(rule, facts)
        return RuleResult(
            id=rule.id,
            title=rule.title,
            verdict=finding.verdict,
            message=sentence(rule, finding.verdict, shown, policy.params, missing=finding.reason),
            control=rule.control,
            score=compared.score if compared and numeric else None,
            limit=float(limit) if numeric and limit is not None else None,
            reason=finding.reason,
            error=finding.error,
        )

    def _finding(self, policy: Policy, rule: Rule, facts: Facts) -> _Finding:
        named = references(rule.expr)
        values = _values(named, policy, facts)
        answers = []
        for bounds in _corners(named, facts):
            answer = self._cel.evaluate(_declared(rule, policy), rule.expr, {**values, **bounds})
            if answer.outcome is not Outcome.VALUE or answer.value is None:
                return _Finding(Verdict.UNDECIDED, _why(named, {**values, **bounds}, answer.message), error=True)
            answers.append(answer.value)
        if all(value is True for value in answers):
            return _Finding(Verdict.ALLOW, "holds on every bound")
        if all(value is False for value in answers):
            return _Finding(Verdict.DENY, "fails on every bound")
        return _Finding(Verdict.UNDECIDED, "holds on one bound of the interval and fails on another")


def judge(policy: Policy, facts: Facts) -> Judgement:
    """What ``policy`` comes to on ``facts``, by this process's engine."""
    return shared_engine().judge(policy, facts)


def shared_engine() -> Engine:
    """The engine over this process's guarded CEL."""
    return Engine(shared_cel())


def _declared(rule: Rule, policy: Policy) -> dict[str, Kind]:
    kinds = {reference.variable: kind_of(reference, policy.params) for reference in references(rule.expr)}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _values(named: tuple[Reference, ...], policy: Policy, facts: Facts) -> Values:
    """The values of everything but the bounds; what is missing stays away, and fails when it is looked at."""
    values: dict[str, Value] = {}
    for reference in named:
        if reference.root != "plain":
            bounds = _bounds(reference, facts)
            if reference.suffix and bounds is not None:
                values[reference.variable] = getattr(bounds, reference.suffix)
        elif reference.name.startswith("params."):
            values[reference.variable] = policy.params[reference.name.removeprefix("params.")]
        elif reference.name in facts.plain:
            values[reference.variable] = thawed(facts.plain[reference.name])
    return values


def _corners(named: tuple[Reference, ...], facts: Facts) -> Iterator[Values]:
    """Every combination of the lower and upper bounds of the scores named, and all of them at their estimates.

    One score gives its two bounds, pessimistic and favourable, and the value between.
    """
    known = {r.variable: b for r in named if r.uncertain and (b := _bounds(r, facts)) is not None}
    for corner in itertools.product(*((b.ci_low, b.ci_high) for b in known.values())):
        yield dict(zip(known, corner, strict=True))
    if known:
        yield {name: bounds.value for name, bounds in known.items()}


def _bounds(reference: Reference, facts: Facts) -> Bounds | None:
    return (facts.scores if reference.root == "score" else facts.deltas).get(reference.name)


def _why(named: tuple[Reference, ...], values: Values, message: str) -> str:
    missing = [reference.variable for reference in named if reference.variable not in values]
    if missing:
        return f"missing or not a finite value: {', '.join(missing)}"
    return f"the expression could not be evaluated: {message}"


def _shown(rule: Rule, facts: Facts) -> Shown | None:
    """The one score that the rule is about, if there is exactly one and it was measured."""
    uncertain = [reference for reference in references(rule.expr) if reference.uncertain]
    if len(uncertain) != 1:
        return None
    bounds = _bounds(uncertain[0], facts)
    return Shown(uncertain[0].name, bounds) if bounds else None
