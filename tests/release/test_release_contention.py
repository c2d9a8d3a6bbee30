"""Of many promotions that expect the same current release exactly one wins, and nobody sees a lock error."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier

import pytest

from imprimatur.core.errors import Conflict
from long_forms import Count
from release_stage import ANA, Stage


@pytest.mark.long_form
def test_one_of_many_promotions_wins(any_stage: Stage, count: Count) -> None:
    """Each of them of another version, each naming the release that it expects to replace."""
    stage, contenders = any_stage, count(50, 200)
    for number in range(1, contenders + 1):
        stage.ready(number)
        stage.approved(number)
    for expected in ("none", None):
        current = stage.releases.current("digits", "production")
        outcomes = _race(stage, list(range(1, contenders + 1)), expected or (current.id if current else "none"))
        assert sum(outcomes.values()) == contenders
        assert outcomes["won"] == 1, outcomes
        assert set(outcomes) <= {"won", "release-moved", "already-released"}, outcomes
        (active,) = stage.releases.active()
        assert stage.alias() == active.version
        assert stage.holds(active.version) == ["production"]


def test_promotions_without_expectation_come_one_after_the_other(any_stage: Stage) -> None:
    stage = any_stage
    for number in (1, 2):
        stage.ready(number)
        stage.approved(number)
    outcomes = _race(stage, [1, 2] * 6, None)
    assert set(outcomes) <= {"won", "already-released"}, outcomes
    history = stage.releases.history("digits")
    assert len(history) == outcomes["won"]
    assert [release.ended_at is None for release in history].count(True) == 1
    assert stage.actions().count("release.promoted") == outcomes["won"]
    for later, earlier in pairwise(history):
        assert earlier.ended_at == later.released_at


def _race(stage: Stage, versions: list[int], expected: str | None) -> Counter[str]:
    barrier = Barrier(len(versions))

    def promote(version: int) -> str:
        barrier.wait()
        try:
            stage.releases.promote(ANA, "digits", version, "production", expected=expected)
        except Conflict as error:
            return error.code
        return "won"

    with ThreadPoolExecutor(len(versions)) as threads:
        return Counter(threads.map(promote, versions))
