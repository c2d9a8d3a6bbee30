"""Deciding, answering, promoting, rolling back, revoking: one transaction each, or nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from imprimatur.access.model import PERMISSIONS, Action, Principal
from imprimatur.access.service import Accounts
from imprimatur.audit import store as log_store
from imprimatur.audit.service import AuditLog, Unit
from imprimatur.core.digests import Digest, is_digest, new_id, short
from imprimatur.core.errors import BadInput, Conflict, NotFound, Refused
from imprimatur.core.keychain import KeyChain
from imprimatur.core.settings import Settings
from imprimatur.core.signing import Envelope
from imprimatur.datasets.service import Datasets
from imprimatur.evaluation.service import Evaluations
from imprimatur.policy.model import Verdict
from imprimatur.policy.service import Policies
from imprimatur.registry import store as registry_store
from imprimatur.registry.model import Version
from imprimatur.registry.service import Registry
from imprimatur.release import rules, store
from imprimatur.release.bases import Bases
from imprimatur.release.bundle import BUNDLE_TYPE, Entry, payload
from imprimatur.release.case import Case, data_of, facts_of, pipeline_of
from imprimatur.release.course import courses_of, statuses_of
from imprimatur.release.document import same_outcome, signed, verified
from imprimatur.release.model import Answer, Approval, Course, Decision, DecisionStatus, End, Release, Revocation
from imprimatur.release.rules import Standing
from imprimatur.release.standing import Circumstances, authors_of, require_evaluation

_LONGEST = 4000


class Releases:
    """What may stand where. Every change is checked, recorded and made in one transaction."""

    def __init__(
        self,
        log: AuditLog,
        registry: Registry,
        evaluations: Evaluations,
        policies: Policies,
        datasets: Datasets,
        accounts: Accounts,
        keys: KeyChain,
        settings: Settings,
    ) -> None:
        self._log = log
        self._registry = registry
        self._evaluations = evaluations
        self._policies = policies
        self._datasets = datasets
        self._accounts = accounts
        self._key = keys.current
        self._ring = keys.ring
        self.keys = keys
        self._environments = settings.environments
        self._bases = Bases(registry.sealed)
        self._bundle_length = timedelta(minutes=settings.bundle_expiry_minutes)

    def decide(self, actor: Principal, model: str, version: int, environment: str) -> Decision:
        """What the policy in force says about a submitted version, signed.

        Asking again when nothing changed gives the decision that there is, with the answers to it. Raises Refused
        ``not-sealed``, ``unsealed-base``, ``revoked``, ``no-submission``, ``no-active-policy``, ``no-evaluation``,
        NotFound, Tampered.
        """
        label = _label(model, version)
        with self._log.attempt(actor.name, "decision.make", label):
            actor.require(Action.DECIDE)
            rules.require_environment(environment, self._environments)
            case = self._case(model, version, environment)
            judgement = self._policies.judge(case.policy, case.facts)
        with self._log.unit_of_work(actor.name, "decision.make", label) as unit:
            unit.hold_still()
            newest = store.newest_decision(unit.session, case.version.id, environment)
            if newest is not None and same_outcome(newest, case, judgement):
                return verified(newest, self._ring)
            made = signed(case, judgement, self._key, by=actor.name, at=self._log.clock())
            store.add_decision(unit.session, made)
            unit.record(
                "decision.made",
                decision=made.id,
                digest=made.digest,
                manifest=made.manifest_digest,
                environment=environment,
                verdict=made.verdict.value,
                reasons=list(made.reasons),
            )
        return made

    def answer(self, actor: Principal, decision_id: str, answer: Answer, reason: str, conditions: str = "") -> Approval:
        """A reviewer's answer to a decision, kept for ever.

        Raises Refused ``own-approval``, ``verdict-not-allow``, ``stale-decision``, ``revoked``, Forbidden
        ``role-not-asked``, Conflict ``already-answered``, NotFound ``no-such-decision``, BadInput ``reason-missing``.
        """
        intent = "decision.approve" if answer is Answer.APPROVE else "decision.reject"
        with self._log.unit_of_work(actor.name, intent, decision_id[:512]) as unit:
            actor.require(Action.APPROVE)
            _require_reason(reason, conditions)
            unit.hold_still()
            decision = verified(self._decision(unit.session, decision_id), self._ring)
            approval = self._answer(unit.session, actor, decision, answer, reason.strip(), conditions.strip())
            store.add_approval(unit.session, approval)
            unit.record(
                "decision.approved" if answer is Answer.APPROVE else "decision.rejected",
                subject=decision.label,
                decision=decision.id,
                digest=decision.digest,
                role=approval.role,
                reason=approval.reason,
                conditions=approval.conditions,
            )
        return approval

    def promote(
        self, actor: Principal, model: str, version: int, environment: str, *, expected: str | None = None
    ) -> Release:
        """Put a version in an environment, if its newest decision still applies, allows it and is approved.

        ``expected`` is the id of the release that it may replace, or ``none``; without it whatever stands there is
        replaced. Raises Refused ``not-sealed``, ``unsealed-base``, ``revoked``, ``no-submission``, ``no-decision``,
        ``stale-decision``, ``verdict-deny``, ``verdict-undecided``, ``rejected``, ``approval-missing``, Conflict
        ``release-moved`` and ``already-released``, NotFound, Tampered.
        """
        label = _label(model, version)
        with self._log.unit_of_work(actor.name, "release.promote", label) as unit:
            actor.require(Action.PROMOTE)
            rules.require_environment(environment, self._environments)
            unit.hold_still()
            decision = self._cleared(unit.session, self._standing(unit.session, model, version, environment))
            current = store.current(unit.session, model, environment)
            rules.require_expected(current, expected, model, environment)
            rules.require_new(current, decision)
            release = self._install(unit, actor, decision, current, End.REPLACED.told(f"by {label}"))
            unit.record("release.promoted", **_told(release, decision, current))
        return release

    def roll_back(self, actor: Principal, model: str, environment: str, reason: str) -> Release:
        """Bring back the release before, whose decision must still hold.

        Raises what ``promote`` raises about that version, and Refused ``no-earlier-release``.
        """
        with self._log.unit_of_work(actor.name, "release.roll-back", model[:512]) as unit:
            actor.require(Action.ROLL_BACK)
            rules.require_environment(environment, self._environments)
            _require_reason(reason)
            unit.hold_still()
            target = self._release_before(unit.session, model, environment)
            decision = self._cleared(unit.session, self._standing(unit.session, model, target.version, environment))
            current = store.current(unit.session, model, environment)
            release = self._install(unit, actor, decision, current, End.ROLLED_BACK.told(reason.strip()))
            unit.record(
                "release.rolled-back",
                subject=release.label,
                reason=reason.strip(),
                **_told(release, decision, current),
            )
        return release

    def revoke(self, actor: Principal, digest: Digest, reason: str) -> Revocation:
        """Forbid a manifest for ever and end its releases, and those of adapters on it, wherever they stand.

        Raises BadInput ``bad-digest`` and ``reason-missing``, NotFound ``no-such-manifest``, Conflict
        ``already-revoked``.
        """
        with self._log.unit_of_work(actor.name, "release.revoke", digest[:512]) as unit:
            actor.require(Action.REVOKE)
            _require_reason(reason)
            unit.hold_still()
            label = _require_revocable(unit.session, digest)
            revocation = Revocation(digest, reason.strip(), actor.name, self._log.clock())
            store.add_revocation(unit.session, revocation)
            ended = [
                one
                for one in store.active(unit.session)
                if digest in (one.manifest_digest, self._bases.behind(unit.session, one))
            ]
            for release in ended:
                self._take_down(unit.session, release, revocation)
            places: list[str] = [f"{release.label} in {release.environment}" for release in ended]
            unit.record("release.revoked", subject=label, manifest=digest, reason=revocation.reason, ended=places)
        return revocation

    def current(self, model: str, environment: str) -> Release | None:
        """What stands in an environment now."""
        with self._log.database.reading() as session:
            return store.current(session, model, environment)

    def active(self, models: Collection[str] | None = None) -> list[Release]:
        """Everything that stands now, by model and environment; of some models where they are given."""
        with self._log.database.reading() as session:
            return store.active(session, models)

    def history(self, model: str, at: datetime | None = None, limit: int | None = None) -> list[Release]:
        """The model's releases, newest first; those that stood at ``at`` where it is given, at most ``limit``."""
        with self._log.database.reading() as session:
            return store.history(session, model, at=at, limit=limit)

    def decision(self, decision_id: str) -> Decision:
        """The decision of that id, its signature verified. Raises NotFound ``no-such-decision``, Tampered."""
        with self._log.database.reading() as session:
            return verified(self._decision(session, decision_id), self._ring)

    def decisions_of(self, version_id: str) -> list[Decision]:
        """The decisions on a version, newest first."""
        with self._log.database.reading() as session:
            return store.decisions(session, version_id=version_id)

    def allowed_and_not_standing(self, limit: int) -> list[tuple[str, str]]:
        """Ids of versions, each with an environment in which policy allows it and it does not stand, newest first."""
        with self._log.database.reading() as session:
            return store.allowed_and_not_standing(session, limit=limit)

    def decisions_on(self, model: str, version: int, environment: str) -> list[Decision]:
        """The decisions on a version for one environment, newest first. Raises NotFound."""
        known = self.decisions_of(self._registry.version(model, version).id)
        return [decision for decision in known if decision.environment == environment]

    def status(self, decision: Decision) -> DecisionStatus:
        """How a decision stands now."""
        return self.statuses([decision])[decision.id]

    def statuses(self, decisions: Collection[Decision]) -> dict[str, DecisionStatus]:
        """How some decisions stand now, by their ids, read together."""
        with self._log.database.view(), self._log.database.reading() as session:
            return statuses_of(session, decisions, self._bases, self._policies.get)

    def courses(
        self, versions: Sequence[Version], environment: str | None = None, *, whole: bool = False
    ) -> list[Course]:
        """How far some living versions have come (towards ``environment``, where one is named), read together.

        The versions are taken as the caller has just read them. Where not ``whole``, the facts and envelopes of their
        decisions are empty.
        """
        with self._log.database.view(), self._log.database.reading() as session:
            return courses_of(session, versions, environment, self._bases, self._policies.get, whole=whole)

    def bundle(self) -> Envelope:
        """What gateways may serve from now on, signed; see ``release.bundle``."""
        roles = sorted(PERMISSIONS[Action.GENERATE])
        clients = [client for role in roles for client in self._accounts.hashes_of(role)]
        with self._log.database.reading() as session:
            document = payload(
                [self._entry(session, release) for release in store.active(session)],
                store.revocations(session),
                clients,
                serial=log_store.head_of(session).size,
                at=self._log.clock(),
                valid_for=self._bundle_length,
            )
        return self._key.sign(BUNDLE_TYPE, document)

    def _case(self, model: str, version: int, environment: str) -> Case:
        with self._log.database.reading() as session:
            now = self._standing(session, model, version, environment)
            current = store.current(session, model, environment)
            evaluation = require_evaluation(session, now.version)
            predecessor = None
            if current is not None and current.manifest_digest != now.manifest:
                predecessor = self._decision(session, current.decision_id)
        manifest = self._registry.sealed.manifest(now.manifest)
        facts = facts_of(
            now.version,
            now.submission,
            manifest,
            pipeline_of(manifest, self._registry.sealed),
            evaluation,
            self._evaluations.suite_of(evaluation.suite_digest),
            data_of(now.version, evaluation, self._datasets.list()),
            verified(predecessor, self._ring) if predecessor else None,
        )
        return Case(environment, now.version, now.manifest, now.submission, evaluation, now.policy, facts)

    def _standing(self, session: Session, model: str, version: int, environment: str) -> Standing:
        """What is true of a version now. Raises what ``Circumstances.standing`` raises."""
        now = Circumstances.read(session, [(model, version)], [environment], self._bases.required)
        return now.standing(model, version, environment)

    def _cleared(self, session: Session, now: Standing) -> Decision:
        """The decision by which the version may stand in the environment; else what forbids it is raised."""
        newest = store.newest_decision(session, now.version.id, now.environment)
        decision = verified(rules.require_current(newest, now), self._ring)
        rules.require_allowed(decision)
        authors = now.authors | authors_of(session, [decision])[decision.id]
        rules.require_answers(decision, now.policy, store.approvals(session, decision.id), authors)
        return decision

    def _answer(
        self, session: Session, actor: Principal, decision: Decision, answer: Answer, reason: str, conditions: str
    ) -> Approval:
        now = self._standing(session, decision.model, decision.version, decision.environment)
        authors = now.authors | authors_of(session, [decision])[decision.id]
        rules.require_other_person(actor, authors, decision.label)
        rules.require_current(decision, now)
        known = store.approvals(session, decision.id)
        for earlier in known:
            if earlier.person == actor.name:
                raise Conflict(
                    "already-answered",
                    f"{actor.name} answered {earlier.answer.value} to decision {decision.id} already; an answer stands "
                    "until the version is decided anew",
                )
        if answer is Answer.APPROVE and decision.verdict is not Verdict.ALLOW:
            raise Refused(
                "verdict-not-allow",
                f"Decision {decision.id} on {decision.label} is {decision.verdict.value} (expected allow): "
                f"{', '.join(decision.reasons)} did not hold, and an approval does not change that",
                reasons=list(decision.reasons),
            )
        role = rules.role_to_answer_in(actor, now.policy, known)
        return Approval(new_id("apr"), decision.id, role, actor.name, answer, reason, conditions, self._log.clock())

    def _install(
        self, unit: Unit, actor: Principal, decision: Decision, current: Release | None, ending: str
    ) -> Release:
        """End what stands, let the version stand, and move hold and alias with it.

        MLflow's alias comes last: the database lets it through only beside an active release.
        """
        session, now = unit.session, self._log.clock()
        if current is not None:
            store.end_release(session, current.id, at=now, reason=ending)
            registry_store.lift_hold(session, current.version_id, current.environment)
        release = Release(
            id=new_id("rel"),
            decision_id=decision.id,
            version_id=decision.version_id,
            model=decision.model,
            version=decision.version,
            manifest_digest=decision.manifest_digest,
            environment=decision.environment,
            released_by=actor.name,
            released_at=now,
            ended_at=None,
            ended_reason=None,
        )
        store.add_release(session, release)
        registry_store.place_hold(session, release.version_id, release.environment, now)
        registry_store.set_alias(session, release.model, release.environment, release.version)
        return release

    def _take_down(self, session: Session, release: Release, revocation: Revocation) -> None:
        store.end_release(session, release.id, at=revocation.revoked_at, reason=End.REVOKED.told(revocation.reason))
        registry_store.lift_hold(session, release.version_id, release.environment)
        registry_store.delete_alias(session, release.model, release.environment)

    def _release_before(self, session: Session, model: str, environment: str) -> Release:
        before = rules.release_before(store.history(session, model, environment=environment)[::-1])
        if before is None:
            raise Refused(
                "no-earlier-release",
                f"Nothing stood in {environment} before what stands there now of {model} (expected an earlier release)",
            )
        living = registry_store.version_row(session, model, before.version)
        if living is None or living.id != before.version_id:
            raise Refused(
                "no-earlier-release",
                f"{before.label} was deleted since it stood in {environment} (expected the same version); promote "
                "another one",
            )
        return before

    def _entry(self, session: Session, release: Release) -> Entry:
        decision = self._decision(session, release.decision_id)
        approvals = tuple(store.approvals(session, decision.id))
        return Entry(release, decision, approvals, self._bases.behind(session, release))

    def _decision(self, session: Session, decision_id: str) -> Decision:
        found = store.decision(session, decision_id)
        if found is None:
            raise NotFound("no-such-decision", f"There is no decision {decision_id[:80]!r}")
        return found


def _label(model: str, version: int) -> str:
    return f"{model}/{version}"[:512]


def _told(release: Release, decision: Decision, replaced: Release | None) -> dict[str, str | None]:
    """What the audit log keeps of a release."""
    return {
        "release": release.id,
        "environment": release.environment,
        "manifest": release.manifest_digest,
        "decision": decision.id,
        "decision_digest": decision.digest,
        "replaced": replaced.id if replaced else None,
    }


def _require_reason(reason: str, conditions: str = "") -> None:
    if not reason.strip() or len(reason) > _LONGEST or len(conditions) > _LONGEST:
        raise BadInput(
            "reason-missing",
            f"A reason in words is needed (got {len(reason.strip())} characters, expected 1 to {_LONGEST}); others "
            "will read it later",
        )


def _require_revocable(session: Session, digest: Digest) -> str:
    if not is_digest(digest):
        raise BadInput("bad-digest", f"{digest[:80]!r} is no digest (expected sha256: and 64 hexadecimal digits)")
    label = store.label_of(session, digest)
    if label is None:
        raise NotFound("no-such-manifest", f"No version was sealed as {short(digest)} (expected a manifest's digest)")
    if store.revocation(session, digest) is not None:
        raise Conflict("already-revoked", f"{label} ({short(digest)}) was revoked already")
    return label
