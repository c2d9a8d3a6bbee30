"""A promotion that dies by SIGKILL, at any step, is done or undone: alias, release, hold and log agree afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from imprimatur.audit.verification import verify
from imprimatur.core.database import Database
from imprimatur.core.settings import Settings
from imprimatur.core.signing import KeyRing
from killed import Step, die_after, die_at
from long_forms import Count
from release_stage import ANA, BEN, OLGA, Stage

PROMOTION = (
    Step("release/service.py", "promote"),
    Step("audit/service.py", "hold_still"),
    Step("release/service.py", "_install"),
    Step("release/store.py", "end_release"),
    Step("registry/store.py", "lift_hold"),
    Step("release/store.py", "add_release"),
    Step("registry/store.py", "place_hold"),
    Step("registry/store.py", "set_alias"),
    Step("audit/store.py", "append"),
    Step("orm/session.py", "commit"),
    Step("engine/default.py", "do_commit"),
)
REVOCATION = (
    Step("release/store.py", "add_revocation"),
    Step("release/service.py", "_take_down"),
    Step("registry/store.py", "delete_alias"),
    Step("audit/store.py", "append"),
    Step("engine/default.py", "do_commit"),
)


def _again(stage: Stage) -> Stage:
    """The same rooms over connections of their own, as a restarted server has them."""
    return Stage(stage.settings, Database(stage.database.url))


def _in_child(stage: Stage, act: Callable[[Stage], object]) -> Callable[[], object]:
    def work() -> object:
        stage.database.engine.dispose(close=False)  # the parent's connections are not the child's
        return act(_again(stage))

    return work


def _require_agreement(stage: Stage) -> int | None:
    """What stands in production, once release, alias, hold and log are found to say the same of it."""
    active = [release for release in stage.releases.active() if release.environment == "production"]
    standing = active[0].version if active else None
    assert len(active) <= 1
    assert stage.alias() == standing
    for number in (1, 2):
        assert stage.holds(number) == (["production"] if number == standing else [])
    told = stage.actions()
    assert told.count("release.promoted") == len(stage.releases.history("digits"))
    assert verify(stage.log, stage.settings.checkpoints, KeyRing([])).findings == ()
    return standing


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.proof_only)])
def two(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Stage]:
    """Version 1 in production, version 2 allowed and approved."""
    database = Database(request.getfixturevalue(f"governed_{request.param}_url"))
    stage = Stage(settings, database).open()
    for number in (1, 2):
        stage.ready(number)
        stage.approved(number)
    stage.releases.promote(ANA, "digits", 1, "production")
    yield stage
    database.dispose()


@pytest.mark.parametrize("step", PROMOTION, ids=str)
def test_a_promotion_killed_at_a_step_changed_nothing_and_can_be_made_again(two: Stage, step: Step) -> None:
    assert die_at(step, _in_child(two, lambda stage: stage.releases.promote(ANA, "digits", 2, "production")))

    assert _require_agreement(two) == 1
    two.releases.promote(ANA, "digits", 2, "production")
    assert _require_agreement(two) == 2


@pytest.mark.parametrize("step", REVOCATION, ids=str)
def test_a_revocation_killed_at_a_step_changed_nothing_and_can_be_made_again(two: Stage, step: Step) -> None:
    (release,) = two.releases.active()

    assert die_at(step, _in_child(two, lambda stage: stage.releases.revoke(BEN, release.manifest_digest, "unsafe")))

    assert _require_agreement(two) == 1
    two.releases.revoke(BEN, release.manifest_digest, "unsafe")
    assert _require_agreement(two) is None


@pytest.mark.long_form
def test_whenever_a_server_dies_what_it_said_stands_and_the_rest_does_not(two: Stage, count: Count) -> None:
    chance = random.Random(7)  # noqa: S311  instants, no secrets

    def work(stage: Stage) -> None:
        while True:
            for number in (2, 1):
                stage.releases.promote(ANA, "digits", number, "production")
            stage.releases.roll_back(OLGA, "digits", "production", "again")
            stage.releases.promote(ANA, "digits", 1, "production")

    for _ in range(count(5, 50)):
        assert die_after(chance.uniform(0.05, 0.6), _in_child(two, work))
        standing = _require_standing(two)
        if standing == 2:  # the child begins anew from version 1
            two.releases.promote(ANA, "digits", 1, "production")


def _require_standing(stage: Stage) -> int | None:
    active = [release for release in stage.releases.active() if release.environment == "production"]
    assert len(active) == 1
    assert stage.alias() == active[0].version
    assert [stage.holds(number) for number in (1, 2)].count(["production"]) == 1
    told = stage.log.recent(limit=100_000)
    moves = [event for event in told if event.action in ("release.promoted", "release.rolled-back")]
    assert len(moves) == len(stage.releases.history("digits"))
    assert verify(stage.log, stage.settings.checkpoints, KeyRing([])).findings == ()
    return active[0].version
