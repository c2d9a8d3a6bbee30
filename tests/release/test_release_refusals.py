"""Every refusal has its code, changes nothing, and leaves an audit event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from imprimatur.access.model import Principal, Role
from imprimatur.core.errors import BadInput, ImprimaturError, Refused
from imprimatur.release.model import Answer
from release_stage import ANA, BEN, CHO, COPIES, OLGA, ROOT, UNSURE, Stage

Step = Callable[[Stage], object]


@dataclass(frozen=True)
class Case:
    """What is there, what is tried, and how it must be refused."""

    name: str
    code: str
    before: Step
    attempt: Step
    told: str = ""


def nothing(_stage: Stage) -> None:
    """There is a policy and nothing else."""


def promote(stage: Stage, number: int = 1, environment: str = "production", expected: str | None = None) -> object:
    """Ana's promotion."""
    return stage.releases.promote(ANA, "digits", number, environment, expected=expected)


def approve(person: Principal) -> Step:
    """Somebody's approval of the newest decision on version 1."""
    return lambda stage: answer(stage, person, Answer.APPROVE)


def answer(stage: Stage, person: Principal, given: Answer, reason: str = "looked at it") -> object:
    """Somebody's answer to the newest decision on version 1."""
    decision = stage.releases.decisions_on("digits", 1, "production")[0]
    return stage.releases.answer(person, decision.id, given, reason)


def back(stage: Stage, *, by: Principal = OLGA, reason: str = "blurry") -> object:
    """Olga's rollback."""
    return stage.releases.roll_back(by, "digits", "production", reason)


def released(*numbers: int) -> Step:
    """Versions that were released one after the other."""

    def step(stage: Stage) -> None:
        for number in numbers:
            stage.ready(number)
            stage.approved(number)
            promote(stage, number)

    return step


def then(*steps: Step) -> Step:
    """One step after the other."""

    def run(stage: Stage) -> None:
        for step in steps:
            step(stage)

    return run


def revoke(number: int) -> Step:
    """Ben's revocation of a version."""

    def step(stage: Stage) -> None:
        digest = stage.registry.version("digits", number).manifest_digest
        assert digest is not None
        stage.releases.revoke(BEN, digest, "leak")

    return step


def only_submitted(stage: Stage) -> None:
    """Version 1 is submitted and was not evaluated."""
    stage.submit(stage.register(1))


def recreated(stage: Stage) -> None:
    """Version 1 was approved; then its name and number were given out anew to other bytes."""
    stage.ready(1)
    stage.approved(1)
    with stage.database.transaction() as session:
        session.execute(text("DELETE FROM model_versions WHERE name = 'digits'"))
        session.execute(text("UPDATE imp_version SET removed_at = registered_at"))
    stage.settings.home.joinpath("incoming").rename(stage.settings.home / "gone")
    again = stage.register(1, weights="b.safetensors")
    stage.submit(again)
    stage.evaluate(again)


def submitted_anew(stage: Stage) -> None:
    """Version 1 was approved for one use; then it was submitted for another."""
    stage.ready(1)
    stage.approved(1)
    stage.submit(stage.registry.version("digits", 1), purpose="Forms of a bank")


def approver_submits(stage: Stage) -> None:
    """Ben, who also is an engineer now, approved and then submitted the version for the same use himself."""
    stage.ready(1)
    stage.approved(1)
    stage.submit(stage.registry.version("digits", 1), by=Principal("ben", frozenset({Role.ENGINEER}), "compliance"))


def evaluated_anew(stage: Stage) -> None:
    """Version 1 was approved; then it was evaluated again."""
    stage.ready(1)
    stage.approved(1)
    stage.evaluate(stage.registry.version("digits", 1), COPIES, seed=7)


def renamed(stage: Stage) -> None:
    """Version 1 was approved; then its model got another name."""
    stage.ready(1)
    stage.approved(1)
    with stage.database.transaction() as session:
        for table, column in (("registered_models", "name"), ("model_versions", "name"), ("imp_version", "model")):
            session.execute(text(f"UPDATE {table} SET {column} = 'numbers'"))


approved = then(lambda stage: stage.ready(1), lambda stage: stage.approved(1))
decided = then(lambda stage: stage.ready(1), lambda stage: stage.decided(1))
denied = then(lambda stage: stage.ready(1, COPIES), lambda stage: stage.decided(1))
unsure = then(lambda stage: stage.ready(1, UNSURE), lambda stage: stage.decided(1))
new_policy = then(approved, lambda stage: stage.enact(2, limit=0.5))

two_needed = then(lambda stage: stage.enact(2, count=2), approved)
denied_by_ben = then(decided, lambda stage: answer(stage, BEN, Answer.REJECT))
denied_by_cho = then(approved, lambda stage: answer(stage, CHO, Answer.REJECT))
tightened = then(released(1, 2), lambda stage: stage.enact(2))
ANA_OF_ALL_ROLES = Principal("ana", frozenset(Role), "imaging")
ONLY_ADMIN = Principal("root", frozenset({Role.ADMIN}), "platform")
NO_MANIFEST = "sha256:" + "0" * 64

PROMOTIONS = [
    Case("unknown model", "no-such-model", nothing, promote),
    Case("unknown version", "no-such-version", released(1), lambda s: promote(s, 9)),
    Case("not sealed", "not-sealed", lambda s: s.register(1, seal=False), promote),
    Case("not submitted", "no-submission", lambda s: s.register(1), promote),
    Case("not decided", "no-decision", lambda s: s.ready(1), promote),
    Case("unknown environment", "unknown-environment", approved, lambda s: promote(s, 1, "prod")),
    Case("other case of it", "unknown-environment", approved, lambda s: promote(s, 1, "Production")),
    Case("environment without policy", "no-active-policy", approved, lambda s: promote(s, 1, "staging")),
    Case("denied", "verdict-deny", denied, promote, "30.00% (95% interval 25.00-35.00%)"),
    Case("undecided", "verdict-undecided", unsure, promote, "crosses the limit"),
    Case("not approved", "approval-missing", decided, promote, "1 approval by a reviewer"),
    Case("one of two", "approval-missing", two_needed, promote, "1 approval by a reviewer"),
    Case("rejected", "rejected", denied_by_ben, promote),
    Case("rejected by one", "rejected", denied_by_cho, promote),
    Case("policy changed", "stale-decision", new_policy, promote, "the policy in force"),
    Case("evaluated anew", "stale-decision", evaluated_anew, promote, "the evaluation"),
    Case("use changed", "stale-decision", submitted_anew, promote, "the declared use"),
    Case("approver became author", "approval-missing", approver_submits, promote),
    Case("renamed", "stale-decision", renamed, lambda s: s.releases.promote(ANA, "numbers", 1, "production"), "name"),
    Case("created anew", "no-decision", recreated, promote),
    Case("revoked", "revoked", then(approved, revoke(1)), promote, "leak"),
    Case("already there", "already-released", released(1), promote),
    Case("other release expected", "release-moved", released(1), lambda s: promote(s, 1, expected="rel-x")),
    Case("nothing expected", "release-moved", released(1), lambda s: promote(s, 1, expected="none")),
    Case("not permitted", "not-permitted", approved, lambda s: s.releases.promote(BEN, "digits", 1, "production")),
]
APPROVALS = [
    Case("own", "own-approval", decided, approve(ANA_OF_ALL_ROLES)),
    Case("a denial", "verdict-not-allow", denied, approve(BEN), "look-alikes"),
    Case("what is undecided", "verdict-not-allow", unsure, approve(BEN)),
    Case("twice", "already-answered", approved, approve(BEN)),
    Case("what changed", "stale-decision", new_policy, approve(CHO)),
    Case("not permitted", "not-permitted", decided, approve(OLGA)),
    Case("admin is no reviewer", "role-not-asked", decided, approve(ONLY_ADMIN)),
    Case("no reason", "reason-missing", decided, lambda s: answer(s, BEN, Answer.APPROVE, "  ")),
    Case("no decision", "no-such-decision", nothing, lambda s: s.releases.answer(BEN, "x", Answer.APPROVE, "yes")),
]
REJECTIONS = [Case("own", "own-approval", decided, lambda s: answer(s, ANA_OF_ALL_ROLES, Answer.REJECT))]
DECISIONS = [
    Case("unsealed", "not-sealed", lambda s: s.register(1, seal=False), lambda s: s.decided(1)),
    Case("unsubmitted", "no-submission", lambda s: s.register(1), lambda s: s.decided(1)),
    Case("unevaluated", "no-evaluation", only_submitted, lambda s: s.decided(1)),
    Case("for nowhere", "unknown-environment", lambda s: s.ready(1), lambda s: s.decided(1, "moon")),
]
ROLLBACKS = [
    Case("to nothing", "no-earlier-release", released(1), back),
    Case("to the revoked", "revoked", then(released(1, 2), revoke(1)), back),
    Case("past a new policy", "stale-decision", tightened, back),
    Case("no reason", "reason-missing", released(1, 2), lambda s: back(s, reason="")),
    Case("not permitted", "not-permitted", released(1, 2), lambda s: back(s, by=BEN)),
]
REVOCATIONS = [
    Case("not permitted", "not-permitted", released(1), lambda s: s.releases.revoke(ANA, NO_MANIFEST, "bad")),
    Case("unknown", "no-such-manifest", released(1), lambda s: s.releases.revoke(BEN, NO_MANIFEST, "bad")),
    Case("no digest", "bad-digest", released(1), lambda s: s.releases.revoke(BEN, "digits/1", "bad")),
    Case("twice", "already-revoked", then(approved, revoke(1)), revoke(1)),
]
CASES = [
    pytest.param(intent, case, id=f"{intent} {case.name}")
    for intent, cases in {
        "release.promote": PROMOTIONS,
        "decision.approve": APPROVALS,
        "decision.reject": REJECTIONS,
        "decision.make": DECISIONS,
        "release.roll-back": ROLLBACKS,
        "release.revoke": REVOCATIONS,
    }.items()
    for case in cases
]


@pytest.mark.parametrize(("intent", "case"), CASES)
def test_a_refusal_changes_nothing_and_is_on_record(stage: Stage, intent: str, case: Case) -> None:
    case.before(stage)
    before = stage.everything()
    with pytest.raises((Refused, BadInput)) as caught:
        case.attempt(stage)
    assert caught.value.code == case.code, caught.value.message
    assert case.told in caught.value.message
    assert stage.everything() == before
    event = stage.log.recent(limit=1)[0]
    assert (event.action, event.detail["code"]) == (f"{intent}.refused", case.code)


@pytest.mark.parametrize("scores", [COPIES, UNSURE], ids=["denied", "undecided"])
def test_the_refusal_names_the_rules(stage: Stage, scores: dict[str, tuple[float, float, float]]) -> None:
    stage.ready(1, scores)
    stage.decided(1)
    with pytest.raises(Refused) as caught:
        promote(stage)
    assert caught.value.facts["reasons"] == ["look-alikes"]


TAMPERINGS = [
    ("verdict", "verdict = 'allow'", "decision-changed"),
    ("results", "results = '[]'", "decision-changed"),
    ("signature", """envelope = replace(envelope, '"sig":"', '"sig":"AAAA')""", "bad-signature"),
    ("payload", """envelope = replace(envelope, '"payload":"ey', '"payload":"eY')""", "bad-signature"),
    ("no envelope", "envelope = '{}'", "bad-envelope"),
]


@pytest.mark.parametrize(("change", "code"), [t[1:] for t in TAMPERINGS], ids=[t[0] for t in TAMPERINGS])
def test_a_decision_that_was_changed_in_the_database_releases_nothing(stage: Stage, change: str, code: str) -> None:
    stage.ready(1, COPIES if "verdict" in change else {"similarity/digits-clip": (0.01, 0.0, 0.01)})
    stage.decided(1)
    with stage.database.transaction() as session:
        session.execute(text(f"UPDATE imp_decision SET {change}".replace(":", "\\:")))
    with pytest.raises(ImprimaturError) as caught:
        promote(stage)
    assert caught.value.code == code
    assert stage.releases.active() == []
    assert stage.alias() is None


def test_admins_are_bound_by_four_eyes_too(stage: Stage) -> None:
    version = stage.register(1)
    stage.submit(version, by=ROOT)
    stage.evaluate(version)
    decision = stage.releases.decide(ROOT, "digits", 1, "production")
    with pytest.raises(Refused) as caught:
        stage.releases.answer(ROOT, decision.id, Answer.APPROVE, "mine")
    assert caught.value.code == "own-approval"
    assert stage.releases.status(decision).missing == ("1 approval by a reviewer",)


def test_whoever_put_a_version_forward_once_does_not_approve_it(stage: Stage) -> None:
    version = stage.ready()
    decision = stage.decided()
    stage.submit(version, by=ROOT)
    stage.submit(version)
    assert stage.releases.status(decision).authors == {"ana", "root"}
    with pytest.raises(Refused) as caught:
        stage.releases.answer(ROOT, decision.id, Answer.APPROVE, "mine as well")
    assert caught.value.code == "own-approval"


def test_two_people_are_two_people(stage: Stage) -> None:
    stage.enact(2, count=2)
    stage.ready(1)
    decision = stage.approved(1)
    assert stage.releases.status(decision).missing == ("1 approval by a reviewer",)
    stage.releases.answer(CHO, decision.id, Answer.APPROVE, "looked too")
    assert promote(stage)
