"""The CEL process: bounded in time and memory, started anew, safe from many threads."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from imprimatur.policy.facts import Kind
from imprimatur.policy.guard import GuardedCel, Outcome

NUMBERS = "[0,1,2,3,4,5,6,7,8,9]"
TENFOLD = ".map(a, a+a+a+a+a+a+a+a+a+a)"
NESTED = (
    f"{NUMBERS}.all(a, {NUMBERS}.all(b, {NUMBERS}.all(c, {NUMBERS}.all(d, {NUMBERS}.all(e, a + b + c + d + e >= 0)))))"
)
STRING_BOMB = f'["0123456789"]{TENFOLD * 9}[0] != ""'
_SEARCH = f'{NUMBERS}.all(a, {NUMBERS}.all(b, {NUMBERS}.all(c, !x.contains("0123456789x"))))'
BUSY = f'["0123456789"]{TENFOLD * 6}.all(x, {_SEARCH})'
"""Searches ten million characters a thousand times: 20 s where nobody ends it."""


@pytest.mark.parametrize("expr", [NESTED, STRING_BOMB, BUSY], ids=["nested loops", "string bomb", "busy"])
def test_a_hostile_expression_ends_as_an_error_and_the_next_is_answered(cel: GuardedCel, expr: str) -> None:
    began = time.monotonic()
    answer = cel.evaluate({}, expr, {})
    assert answer.outcome is Outcome.ERROR
    assert time.monotonic() - began < 4
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


def test_a_process_that_does_not_answer_is_ended() -> None:
    cel = GuardedCel(patience=0.3)
    try:
        assert cel.compile({}, "1 < 2").outcome is Outcome.COMPILED
        assert cel._child is not None
        os.kill(cel._child.pid, signal.SIGSTOP)
        assert cel.evaluate({}, "1 < 2", {}).outcome is Outcome.ERROR
        assert cel.evaluate({}, "1 < 2", {}).value is True
    finally:
        cel.close()


def test_many_threads_get_their_own_answers(cel: GuardedCel) -> None:
    def ask(number: int) -> bool:
        answer = cel.evaluate({"eval.seed": Kind.INT}, "eval.seed % 2 == 0", {"eval.seed": number})
        return answer.value is (number % 2 == 0)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(200)))
