"""How far versions have come from submission to release, read together for people who look."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache

from sqlalchemy.orm import Session

from imprimatur.core.errors import Refused
from imprimatur.policy.model import Policy
from imprimatur.registry import store as registry_store
from imprimatur.registry.model import Submission, Version, by_version
from imprimatur.release import rules, store
from imprimatur.release.bases import Bases
from imprimatur.release.model import Course, Decision, DecisionStatus
from imprimatur.release.standing import Circumstances, authors_of

PolicyOf = Callable[[str, int], Policy]
_UNDECIDED = DecisionStatus((), (), (), frozenset())


def courses_of(
    session: Session,
    versions: Sequence[Version],
    environment: str | None,
    bases: Bases,
    policy_of: PolicyOf,
    *,
    whole: bool,
) -> list[Course]:
    """The course of each of some living versions, towards ``environment`` where one is named.

    The versions are taken as the caller has just read them; ``whole`` is as for ``store.decisions_of``.
    """
    ids = [version.id for version in versions]
    policy = cache(policy_of)
    made = by_version(store.decisions_of(session, ids, whole=whole))
    newest = {version.id: _newest(version, made.get(version.id, ()), environment) for version in versions}
    decided = [decision for decision in newest.values() if decision]
    now = _circumstances(session, decided, bases, versions)
    statuses = _statuses(session, decided, now, policy)
    others = [version_id for version_id in ids if version_id not in now.submissions]
    submissions = {**now.submissions, **by_version(registry_store.submissions_of(session, others) if others else ())}
    releases = by_version(store.active(session, {version.model for version in versions}))
    digests = {version.manifest_digest for version in versions if version.manifest_digest} - now.bases.keys()
    revoked = store.revocations(session, digests) if digests else ()
    revocations = {**now.revocations, **{each.manifest_digest: each for each in revoked}}

    def course(version: Version) -> Course:
        decision = newest[version.id]
        return Course(
            submission=_submission(submissions.get(version.id, ()), decision),
            decision=decision,
            policy=policy(decision.policy_name, decision.policy_version) if decision else None,
            status=statuses[decision.id] if decision else _UNDECIDED,
            releases=tuple(releases.get(version.id, ())),
            revocation=revocations.get(version.manifest_digest or ""),
        )

    return [course(version) for version in versions]


def statuses_of(
    session: Session, decisions: Collection[Decision], bases: Bases, policy_of: PolicyOf
) -> dict[str, DecisionStatus]:
    """How some decisions stand now, by their ids."""
    return _statuses(session, decisions, _circumstances(session, decisions, bases), cache(policy_of))


def _circumstances(
    session: Session, decisions: Collection[Decision], bases: Bases, known: Iterable[Version] = ()
) -> Circumstances:
    asked = {(decision.model, decision.version) for decision in decisions}
    return Circumstances.read(session, asked, {decision.environment for decision in decisions}, bases.named, known)


def _statuses(
    session: Session, decisions: Collection[Decision], now: Circumstances, policy_of: PolicyOf
) -> dict[str, DecisionStatus]:
    answers = store.approvals_of(session, {decision.id for decision in decisions})
    authors = authors_of(session, decisions, now.authors)
    return {
        one.id: DecisionStatus(
            answers=tuple(answers[one.id]),
            missing=tuple(
                rules.missing_approvals(
                    policy_of(one.policy_name, one.policy_version), answers[one.id], authors[one.id]
                )
            ),
            stale=_stale(one, now),
            authors=authors[one.id],
        )
        for one in decisions
    }


def _stale(decision: Decision, now: Circumstances) -> tuple[str, ...]:
    """What changed since the decision, or what forbids its version altogether, in words."""
    try:
        standing = now.standing(decision.model, decision.version, decision.environment)
    except Refused as error:
        return (error.message,)
    return tuple(f"{what} changed since" for what in rules.changes(decision, standing))


def _newest(version: Version, decisions: Sequence[Decision], environment: str | None) -> Decision | None:
    """The newest decision about these very bytes."""
    about = [
        decision
        for decision in decisions
        if decision.manifest_digest == version.manifest_digest and environment in (None, decision.environment)
    ]
    return max(about, key=lambda decision: decision.decided_at, default=None)


def _submission(submissions: Sequence[Submission], decision: Decision | None) -> Submission | None:
    """The submission that was decided on; without a decision the newest."""
    if decision is not None:
        return next((one for one in submissions if one.id == decision.submission_id), None)
    return submissions[0] if submissions else None
