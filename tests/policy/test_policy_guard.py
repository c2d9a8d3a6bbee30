"""The CEL process: bounded in time and memory, started anew, safe from many threads."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from imprimatur.policy.facts import Kind
from imprimatur.policy.guard import GuardedCel, Outcome

NUMBERS = "[0,1,2,3,4,5,6,7,8,9]"
NESTED = f"{NUMBERS}.all(a, {NUMBERS}.all(b, {NUMBERS}.all(c, {NUMBERS}.all(d, {NUMBERS}.all(e, {NUMBERS}.all(f, a + b + c + d + e + f >= 0))))))"  # noqa: E501
STRING_BOMB = 'size(["0123456789"].map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a)[0]) > 0'  # noqa: E501


@pytest.mark.parametrize("expr", [NESTED, STRING_BOMB], ids=["nested loops", "string bomb"])
def test_a_hostile_expression_ends_as_an_error_and_the_next_is_answered(cel: GuardedCel, expr: str) -> None:
    began = time.monotonic()
    answer = cel.evaluate({}, expr, {})
    assert answer.outcome is Outcome.ERROR
    assert time.monotonic() - began < 5
    assert cel.evaluate({"eval.seed": Kind.INT}, "eval.seed == 3", {"eval.seed": 3}).value is True


def test_a_truthy_error_is_no_value(cel: GuardedCel) -> None:
    answer = cel.evaluate({"eval.seed": Kind.INT}, "eval.seed == 3", {})
    assert (answer.outcome, answer.value) == (Outcome.ERROR, None)
    assert cel.evaluate({"eval.seed": Kind.INT}, "10 / eval.seed > 0", {"eval.seed": 0}).outcome is Outcome.ERROR


def test_a_process_that_is_killed_is_replaced() -> None:
    cel = GuardedCel()
    try:
        assert cel.compile({}, "1 < 2").outcome is Outcome.COMPILED
        assert cel._child is not None
        cel._child.kill()
        cel._child.wait()
        assert cel.evaluate({}, "1 < 2", {}).value is True
    finally:
        cel.close()


def test_many_threads_get_their_own_answers(cel: GuardedCel) -> None:
    def ask(number: int) -> bool:
        answer = cel.evaluate({"eval.seed": Kind.INT}, "eval.seed % 2 == 0", {"eval.seed": number})
        return answer.value is (number % 2 == 0)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(200)))
