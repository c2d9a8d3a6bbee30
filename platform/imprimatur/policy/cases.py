"""The tests that a policy carries: run before it may be applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imprimatur.core.digests import Json
from imprimatur.core.errors import BadInput
from imprimatur.policy.document import CODE, WHOLE
from imprimatur.policy.engine import Engine
from imprimatur.policy.model import Bounds, Case, Facts, Judgement, Policy


@dataclass(frozen=True)
class CaseResult:
    """What became of one test; ``differences`` says what came instead, and is empty where it passed."""

    name: str
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything came as expected."""
        return not self.differences

    def document(self) -> dict[str, Json]:
        """The result as JSON."""
        return {"name": self.name, "passed": self.passed, "differences": list(self.differences)}


def run_cases(engine: Engine, policy: Policy) -> tuple[CaseResult, ...]:
    """The results of all tests in ``policy``."""
    return tuple(_run(engine, policy, case) for case in policy.tests)


def require_passed(results: tuple[CaseResult, ...]) -> None:
    """Raise BadInput ``bad-policy`` that lists the tests that did not come out as they say."""
    failed = [result for result in results if not result.passed]
    if failed:
        told = "; ".join(f"{result.name!r}: {', '.join(result.differences)}" for result in failed)
        raise BadInput(
            CODE,
            f"tests: found {len(failed)} of {len(results)} that fail (expected all to pass): {told}",
            where="tests",
            found=told,
            expected="all tests pass",
        )


def facts_of(case: Case, baseline: Mapping[str, Json]) -> Facts:
    """The facts of one test: the baseline with the test's changes; null takes a fact away."""
    merged: dict[str, Any] = {**baseline, **case.changes}
    present = {name: value for name, value in merged.items() if value is not None}
    return Facts(
        plain={name: _frozen(value) for name, value in present.items() if not _scored(name)},
        scores=_bounds(present, "score."),
        deltas=_bounds(present, "delta."),
    )


def _run(engine: Engine, policy: Policy, case: Case) -> CaseResult:
    judgement = engine.judge(policy, facts_of(case, policy.baseline))
    came = _answers(judgement)
    return CaseResult(
        case.name,
        tuple(
            f"{name} came to {' or '.join(sorted(came[name]))}, expected {expected}"
            for name, expected in case.expect.items()
            if expected not in came[name]
        ),
    )


def _answers(judgement: Judgement) -> dict[str, frozenset[str]]:
    """For the policy and each rule the words that are true of it: a missing fact is an error and undecided."""
    answers = {WHOLE: frozenset({judgement.verdict.value})}
    for result in judgement.results:
        answers[result.id] = frozenset({result.verdict.value} | ({"error"} if result.error else set()))
    return answers


def _scored(name: str) -> bool:
    return name.startswith(("score.", "delta."))


def _bounds(present: Mapping[str, Any], root: str) -> dict[str, Bounds]:
    return {
        name.removeprefix(root): Bounds(value["value"], value["ci_low"], value["ci_high"], value["n"], True)
        for name, value in present.items()
        if name.startswith(root)
    }


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
