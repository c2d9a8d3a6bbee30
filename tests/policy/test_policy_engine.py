"""Judging: three words, on every bound, and never a yes where something is missing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import imprimatur.demo
from imprimatur.policy.cases import facts_of, run_cases
from imprimatur.policy.document import parse
from imprimatur.policy.engine import Engine
from imprimatur.policy.model import Bounds, Facts, Policy, Rule, RuleResult, Verdict, verdict_over

SCORE = "similarity/digits-clip"


def bounds(low: float, high: float, value: float | None = None) -> Bounds:
    return Bounds((low + high) / 2 if value is None else value, low, high, 500, True)


def facts(score: Bounds | None, **plain: Any) -> Facts:
    known = {"eval.status": "complete", "eval.images": 400, **plain}
    return Facts(known, {SCORE: score} if score else {})


def one_rule(small: str, expr: str, **params: float) -> Policy:
    policy = parse(small)
    rule = Rule("it", "It", expr, "no", "none", False)
    return replace(policy, rules=(rule,), params={**policy.params, **params})


def judged(engine: Engine, policy: Policy, known: Facts) -> RuleResult:
    return engine.judge(policy, known).results[0]


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (bounds(0.0, 0.01), Verdict.ALLOW),
        (bounds(0.0, 0.02), Verdict.ALLOW),
        (bounds(0.01, 0.03), Verdict.UNDECIDED),
        (bounds(0.02, 0.03), Verdict.UNDECIDED),
        (bounds(0.03, 0.05), Verdict.DENY),
        (None, Verdict.UNDECIDED),
        (bounds(math.nan, 0.01), Verdict.UNDECIDED),
        (bounds(0.0, 0.01, math.nan), Verdict.UNDECIDED),
        (bounds(-math.inf, 0.01, 0.0), Verdict.UNDECIDED),
        (bounds(0.01, 0.0), Verdict.UNDECIDED),
        (replace(bounds(0.0, 0.01), ci_high=True), Verdict.UNDECIDED),
        (replace(bounds(0.0, 0.01), n=0), Verdict.UNDECIDED),
    ],
)
def test_a_score_is_judged_on_both_bounds(small: str, engine: Engine, score: Bounds | None, verdict: Verdict) -> None:
    judgement = engine.judge(parse(small), facts(score))
    assert judgement.results[0].verdict is verdict
    assert judgement.verdict is verdict


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(-1, 1), st.booleans())
def test_the_verdict_is_that_of_the_interval(
    engine: Engine, small: str, low: float, width: float, limit: float, at_least: bool
) -> None:
    expr = f"score.`{SCORE}` {'>=' if at_least else '<='} params.limit"
    verdict = judged(engine, one_rule(small, expr, limit=limit), facts(bounds(low, low + width))).verdict
    ends = [low, low + width, (low + low + width) / 2]
    holds = [end >= limit if at_least else end <= limit for end in ends]
    assert verdict is (Verdict.ALLOW if all(holds) else Verdict.UNDECIDED if any(holds) else Verdict.DENY)


@pytest.mark.parametrize(
    "expr",
    [
        "!(score.`similarity/digits-clip` > 0.02)",
        "score.`similarity/digits-clip` <= 0.02 || score.`similarity/digits-clip` > 5.0",
        "[score.`similarity/digits-clip`].all(s, s <= 0.02)",
    ],
)
def test_nothing_measured_is_no_yes_however_the_rule_is_put(small: str, engine: Engine, expr: str) -> None:
    for known in (facts(None), facts(bounds(math.nan, math.nan))):
        result = judged(engine, one_rule(small, expr), known)
        assert (result.verdict, result.error) == (Verdict.UNDECIDED, True)
        assert f"score.{SCORE}" in result.reason


def test_two_scores_are_judged_on_every_combination(small: str, engine: Engine) -> None:
    policy = one_rule(small, "score.`frechet/a` <= score.`frechet/b`")
    apart = Facts({}, {"frechet/a": bounds(1.0, 2.0), "frechet/b": bounds(3.0, 4.0)})
    overlapping = Facts({}, {"frechet/a": bounds(1.0, 3.0), "frechet/b": bounds(2.0, 4.0)})
    assert judged(engine, policy, apart).verdict is Verdict.ALLOW
    assert judged(engine, policy, overlapping).verdict is Verdict.UNDECIDED


def test_a_difference_to_production_may_be_absent(small: str, engine: Engine) -> None:
    policy = one_rule(small, f"!model.has_predecessor || delta.`{SCORE}` <= 0.01")
    alone = Facts({"model.has_predecessor": False}, {})
    worse = Facts({"model.has_predecessor": True}, {}, {SCORE: bounds(0.02, 0.03)})
    unknown = Facts({"model.has_predecessor": True}, {})
    verdicts = [judged(engine, policy, known).verdict for known in (alone, worse, unknown)]
    assert verdicts == [Verdict.ALLOW, Verdict.DENY, Verdict.UNDECIDED]


@pytest.mark.parametrize("value", [True, 400.0, "400", math.nan, 2**70, None, ("400",)], ids=repr)
def test_a_fact_of_another_type_counts_as_missing(small: str, engine: Engine, value: Any) -> None:
    result = engine.judge(parse(small), facts(bounds(0.0, 0.01), **{"eval.images": value})).results[1]
    assert (result.verdict, result.error) == (Verdict.UNDECIDED, True)
    assert "eval.images" in result.reason


def test_an_explicit_bound_and_the_number_of_images_can_be_named(small: str, engine: Engine) -> None:
    policy = one_rule(small, f"score.`{SCORE}`.ci_high <= 0.02 && score.`{SCORE}`.n >= 500")
    assert judged(engine, policy, facts(bounds(0.0, 0.02))).verdict is Verdict.ALLOW
    assert judged(engine, policy, facts(bounds(0.0, 0.03))).verdict is Verdict.DENY


@given(st.lists(st.sampled_from(Verdict), max_size=6))
def test_only_rules_that_all_allow_allow(verdicts: list[Verdict]) -> None:
    whole = verdict_over(verdicts)
    assert (whole is Verdict.ALLOW) == (bool(verdicts) and set(verdicts) == {Verdict.ALLOW})
    assert (whole is Verdict.DENY) == (Verdict.DENY in verdicts)


def test_a_policy_without_rules_never_allows(small: str, engine: Engine) -> None:
    assert engine.judge(replace(parse(small), rules=()), facts(bounds(0.0, 0.0))).verdict is Verdict.UNDECIDED


def test_the_sentences_say_value_interval_and_limit(small: str, engine: Engine) -> None:
    policy = parse(small)
    denied = engine.judge(policy, facts(bounds(0.0297, 0.0361, 0.0326))).results[0]
    assert denied.message == "Look-alikes (share of images) 3.26% (95% interval 2.97-3.61%) is above the limit 2.00%"
    assert (denied.score, denied.limit) == (SCORE, 0.02)
    allowed = engine.judge(policy, facts(bounds(0.004, 0.006))).results[0]
    assert allowed.message == (
        "Look-alikes (share of images) 0.50% (95% interval 0.40-0.60%) is within the limit 2.00%"
    )
    open_ = engine.judge(policy, facts(bounds(0.01, 0.024, 0.018))).results[0]
    assert open_.message == (
        "Look-alikes (share of images) 1.80% (95% interval 1.00-2.40%) crosses the limit 2.00%. "
        "About 4,500 images should settle it; 500 were used."
    )
    complete = engine.judge(policy, facts(None, **{"eval.images": 10})).results[1]
    assert complete.message == "The evaluation is not complete, or has fewer than 100 images"
    assert (complete.score, complete.limit) == (None, None)


def test_the_demo_policy_passes_its_own_tests(engine: Engine) -> None:
    text = (Path(imprimatur.demo.__file__).parent / "digits-production.yaml").read_text()
    policy = parse(text)
    engine.check(policy)
    assert all(result.passed for result in run_cases(engine, policy))
    assert {"look-alikes", "balance"} <= {rule.id for rule in policy.rules}
    assert engine.judge(policy, facts_of(policy.tests[0], policy.baseline)).verdict is Verdict.ALLOW


def test_a_test_that_fails_says_what_came_instead(small: str, engine: Engine) -> None:
    results = run_cases(engine, parse(small.replace("set: {}", "set: {eval.images: 1}")))
    assert [result.passed for result in results] == [False, True, True]
    assert "complete came to deny, expected allow" in results[0].differences
