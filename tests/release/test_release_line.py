"""The way of a version from decision to release, back, and out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event

from imprimatur.access.model import Role
from imprimatur.core.errors import Refused
from imprimatur.core.signing import Envelope
from imprimatur.policy.model import Verdict
from imprimatur.release.bundle import BUNDLE_TYPE
from imprimatur.release.document import DECISION_TYPE
from imprimatur.release.model import Answer, End
from release_stage import ANA, BEN, COPIES, OLGA, ROOT, UNSURE, Stage


def test_a_version_is_decided_approved_and_released(any_stage: Stage) -> None:
    stage = any_stage
    version = stage.ready()
    decision = stage.decided()
    assert (decision.verdict, decision.reasons) == (Verdict.ALLOW, ())
    assert stage.releases.status(decision).missing == ("1 approval by a reviewer",)
    stage.releases.answer(BEN, decision.id, Answer.APPROVE, "looked at it", "children only")
    assert stage.releases.status(decision).missing == ()
    release = stage.releases.promote(ANA, "digits", 1, "production")
    assert stage.releases.current("digits", "production") == release
    assert (stage.alias(), stage.holds(1)) == (1, ["production"])
    assert (release.manifest_digest, release.decision_id) == (version.manifest_digest, decision.id)
    assert stage.actions()[:3] == ["release.promoted", "decision.approved", "decision.made"]


def test_a_decision_names_everything_and_is_signed(stage: Stage) -> None:
    version = stage.ready()
    decision = stage.decided()
    submission = stage.registry.latest_submission(version.id)
    evaluation = stage.evaluations.latest(version.id)
    assert submission is not None
    assert evaluation is not None
    payload = stage.releases.keys.ring.open(Envelope.parse(decision.envelope), DECISION_TYPE)
    assert payload["manifest_digest"] == decision.manifest_digest == version.manifest_digest
    assert payload["use_digest"] == decision.use_digest == submission.use.digest
    assert payload["policy_digest"] == decision.policy_digest == stage.policies.active("production").digest
    assert payload["evaluation_digest"] == decision.evaluation_digest == evaluation.digest
    assert payload["build"] == decision.build == "evaluators 0.1"
    assert payload["verdict"] == "allow"
    assert stage.releases.decision(decision.id) == decision


def test_the_facts_come_from_submission_manifest_evaluation_and_data(stage: Stage) -> None:
    stage.ready()
    facts = stage.decided().facts
    expected = {
        "model.name": "digits",
        "model.pipeline": "StableDiffusionPipeline",
        "model.weight_files": ["unet/a.safetensors"],
        "model.has_lineage": True,
        "model.has_predecessor": False,
        "use.tier": "limited",
        "eval.images": 500,
        "eval.suite": "digits",
        "eval.steps": 20,
        "eval.guidance": 2.0,
        "data.names": ["digits-protected", "digits-train"],
        "data.missing_licences": 0,
        "submitter": "ana",
    }
    assert {name: facts[name] for name in expected} == expected


def test_another_version_replaces_the_first_and_a_rollback_brings_it_back(any_stage: Stage) -> None:
    stage = any_stage
    for number in (1, 2):
        stage.ready(number)
        stage.approved(number)
        stage.releases.promote(ANA, "digits", number, "production")
    assert (stage.alias(), stage.holds(1), stage.holds(2)) == (2, [], ["production"])
    back = stage.releases.roll_back(OLGA, "digits", "production", "blurry")
    assert (back.version, stage.alias(), stage.holds(1), stage.holds(2)) == (1, 1, ["production"], [])
    newest, second, first = stage.releases.history("digits")
    assert newest == back
    assert second.ended_reason == "rolled back: blurry"
    assert first.ended_reason == "replaced: by digits/2"
    assert stage.actions()[0] == "release.rolled-back"


def test_a_second_rollback_goes_further_back(stage: Stage) -> None:
    for number in (1, 2, 3):
        stage.ready(number)
        stage.approved(number)
        stage.releases.promote(ANA, "digits", number, "production")
    assert stage.releases.roll_back(OLGA, "digits", "production", "blurry").version == 2
    assert stage.releases.roll_back(OLGA, "digits", "production", "blurry too").version == 1
    with pytest.raises(Refused) as caught:
        stage.releases.roll_back(OLGA, "digits", "production", "all blurry")
    assert caught.value.code == "no-earlier-release"


def test_a_revocation_ends_every_release_and_forbids_new_ones(any_stage: Stage) -> None:
    stage = any_stage
    stage.enact(2, environment="staging")
    version = stage.ready()
    for environment in ("staging", "production"):
        stage.approved(1, environment)
        stage.releases.promote(ANA, "digits", 1, environment)
    assert version.manifest_digest is not None
    stage.releases.revoke(BEN, version.manifest_digest, "leaked a work")
    assert stage.releases.active() == []
    assert (stage.alias(), stage.alias("staging"), stage.holds(1)) == (None, None, [])
    assert all(release.ended_as(End.REVOKED) for release in stage.releases.history("digits"))
    with pytest.raises(Refused) as caught:
        stage.releases.promote(ANA, "digits", 1, "production")
    assert caught.value.code == "revoked"


def test_after_a_revocation_a_rollback_brings_back_what_stood_before(stage: Stage) -> None:
    for number in (1, 2):
        version = stage.ready(number)
        stage.approved(number)
        stage.releases.promote(ANA, "digits", number, "production")
    assert version.manifest_digest is not None
    stage.releases.revoke(BEN, version.manifest_digest, "leaked a work")
    assert stage.releases.roll_back(OLGA, "digits", "production", "after a leak").version == 1


def test_history_says_what_stood_at_a_moment(stage: Stage) -> None:
    for number in (1, 2):
        stage.ready(number)
        stage.approved(number)
        stage.releases.promote(ANA, "digits", number, "production")
    second, first = stage.releases.history("digits")
    before = first.released_at - timedelta(microseconds=1)
    assert stage.releases.history("digits", at=before) == []
    assert stage.releases.history("digits", at=first.released_at) == [first]
    assert stage.releases.history("digits", at=second.released_at) == [second]


def test_asking_again_gives_the_same_decision_until_something_changes(stage: Stage) -> None:
    version = stage.ready()
    decision = stage.approved()
    assert stage.decided() == decision
    assert stage.releases.status(decision).missing == ()
    stage.evaluate(version, seed=1)
    assert stage.releases.status(decision).stale == ("the evaluation changed since",)
    assert stage.decided().id != decision.id


def test_look_alikes_are_told_with_value_interval_and_limit(stage: Stage) -> None:
    stage.ready(1, COPIES)
    stage.ready(2, UNSURE)
    denied, undecided = stage.decided(1), stage.decided(2)
    assert (denied.verdict, denied.reasons) == (Verdict.DENY, ("look-alikes",))
    assert denied.results[0].message == (
        "Look-alikes (share of images) 30.00% (95% interval 25.00-35.00%) is above the limit 2.00%"
    )
    assert (undecided.verdict, undecided.reasons) == (Verdict.UNDECIDED, ("look-alikes",))


def test_differences_to_what_stands_there_are_facts(stage: Stage) -> None:
    stage.ready(1)
    stage.approved(1)
    stage.releases.promote(ANA, "digits", 1, "production")
    stage.ready(2, {**COPIES, "similarity/digits-clip": (0.9, 0.8, 0.95)})
    decision = stage.decided(2)
    assert decision.facts["model.has_predecessor"] is True
    delta = decision.facts["delta.similarity/digits-clip"]
    assert delta == pytest.approx({"value": 0.89, "ci_low": 0.785, "ci_high": 0.945, "n": 500, "lower_is_better": True})
    assert "no-worse" in decision.reasons


def test_missing_licences_and_foreign_weights_are_found(stage: Stage) -> None:
    stage.add_dataset(licence="", name="digits-unlicensed")
    version = stage.register(1, weights="a.bin")
    stage.submit(version)
    stage.evaluate(version)
    assert stage.decided().reasons == ("safetensors-only", "lineage")


def test_the_bundle_is_signed_and_says_what_stands(stage: Stage) -> None:
    stage.ready()
    decision = stage.approved()
    release = stage.releases.promote(ANA, "digits", 1, "production")
    revoked = stage.ready(2)
    assert revoked.manifest_digest is not None
    stage.releases.revoke(BEN, revoked.manifest_digest, "leak")
    earlier = stage.releases.keys.ring.open(stage.releases.bundle(), BUNDLE_TYPE)
    stage.accounts.add(ROOT, "game", {Role.APPLICATION}, "games")
    stage.accounts.issue_token(ROOT, "game", "play")
    payload = stage.releases.keys.ring.open(stage.releases.bundle(), BUNDLE_TYPE)
    (entry,) = payload["releases"]
    assert (entry["model"], entry["version"], entry["environment"]) == ("digits", 1, "production")
    assert (entry["manifest_digest"], entry["decision"]) == (release.manifest_digest, decision.envelope)
    assert [(a["person"], a["answer"], a["decision_id"]) for a in entry["approvals"]] == [
        ("ben", "approve", decision.id)
    ]
    assert payload["revoked"] == [revoked.manifest_digest]
    assert [(c["name"], c["team"]) for c in payload["clients"]] == [("game", "games")]
    assert payload["serial"] > earlier["serial"]
    assert payload["expires_at"] > payload["issued_at"]


def test_a_decision_waits_in_each_environment_of_its_own(stage: Stage) -> None:
    stage.enact(2, environment="staging")
    version = stage.ready()
    stage.decided()
    stage.approved(environment="staging")
    waiting = stage.releases.allowed_and_not_standing(10)
    assert sorted(waiting) == [(version.id, "production"), (version.id, "staging")]
    stage.releases.promote(ANA, "digits", 1, "staging")
    assert stage.releases.allowed_and_not_standing(10) == [(version.id, "production")]


def test_how_several_decisions_stand_is_how_each_stands(stage: Stage) -> None:
    kept = [stage.ready(number) for number in range(1, 6)]
    decisions = [stage.decided(number) for number in range(1, 6)]
    stage.releases.answer(BEN, decisions[0].id, Answer.APPROVE, "looked at it")
    stage.releases.answer(BEN, decisions[1].id, Answer.REJECT, "blurry")
    stage.evaluate(kept[2], seed=1)
    stage.submit(kept[3], purpose="something else")
    stage.releases.revoke(ROOT, str(kept[4].manifest_digest), "a copied work")

    together = stage.releases.statuses(decisions)

    assert together == {decision.id: stage.releases.status(decision) for decision in decisions}
    said = [together[decision.id] for decision in decisions]
    assert [(len(each.answers), len(each.missing), len(each.stale)) for each in said] == [
        (1, 0, 0),
        (1, 1, 0),
        (0, 1, 1),
        (0, 1, 1),
        (0, 1, 1),
    ]
    assert "was revoked by root" in said[4].stale[0]


def test_many_decisions_take_no_more_queries_than_one(stage: Stage) -> None:
    for number in range(1, 6):
        stage.ready(number)
    decisions = [stage.decided(number) for number in range(1, 6)]
    stage.releases.statuses(decisions)
    asked: list[str] = []
    event.listen(stage.database.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))

    stage.releases.statuses(decisions[:1])
    of_one = len(asked)
    stage.releases.statuses(decisions)

    assert len(asked) == 2 * of_one
