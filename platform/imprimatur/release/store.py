"""Every query of decisions, approvals, releases and revocations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session, defer

from imprimatur.core.digests import Digest, Json, is_digest
from imprimatur.policy.model import RuleResult, Verdict
from imprimatur.registry.tables import VersionRow
from imprimatur.release.model import Answer, Approval, Decision, Release, Revocation
from imprimatur.release.tables import ApprovalRow, DecisionRow, ReleaseRow, RevocationRow


def add_decision(session: Session, decision: Decision) -> None:
    """Keep a decision."""
    session.add(
        DecisionRow(
            id=decision.id,
            submission_id=decision.submission_id,
            version_id=decision.version_id,
            model=decision.model,
            version=decision.version,
            manifest_digest=decision.manifest_digest,
            use_digest=decision.use_digest,
            environment=decision.environment,
            policy_name=decision.policy_name,
            policy_version=decision.policy_version,
            policy_digest=decision.policy_digest,
            evaluation_id=decision.evaluation_id,
            evaluation_digest=decision.evaluation_digest,
            build=decision.build,
            verdict=decision.verdict.value,
            results=[result.document() for result in decision.results],
            facts=decision.facts,
            decided_by=decision.decided_by,
            decided_at=decision.decided_at,
            digest=decision.digest,
            envelope=decision.envelope,
        )
    )
    session.flush()


def decision(session: Session, decision_id: str) -> Decision | None:
    """The decision of that id."""
    row = session.get(DecisionRow, decision_id)
    return _decision(row) if row else None


def newest_decision(session: Session, version_id: str, environment: str) -> Decision | None:
    """The newest decision on a version for an environment."""
    query = (
        select(DecisionRow)
        .where(DecisionRow.version_id == version_id, DecisionRow.environment == environment)
        .order_by(DecisionRow.decided_at.desc(), DecisionRow.id.desc())
        .limit(1)
    )
    row = session.scalars(query).one_or_none()
    return _decision(row) if row else None


def decisions(session: Session, *, version_id: str | None = None, limit: int = 100) -> list[Decision]:
    """Decisions, newest first; those on one version where one is given."""
    query = select(DecisionRow).order_by(DecisionRow.decided_at.desc(), DecisionRow.id.desc()).limit(limit)
    if version_id is not None:
        query = query.where(DecisionRow.version_id == version_id)
    return [_decision(row) for row in session.scalars(query)]


def decisions_of(session: Session, version_ids: Collection[str], *, whole: bool) -> list[Decision]:
    """The decisions on some versions, newest first; where not ``whole``, their facts and envelopes are empty."""
    query = select(DecisionRow).where(DecisionRow.version_id.in_(version_ids))
    if not whole:
        query = query.options(defer(DecisionRow.facts), defer(DecisionRow.envelope))
    ordered = query.order_by(DecisionRow.decided_at.desc(), DecisionRow.id.desc())
    return [_decision(row) if whole else _outcome(row, {}, {}) for row in session.scalars(ordered)]


def allowed_and_not_standing(session: Session, *, limit: int) -> list[tuple[str, str]]:
    """Ids of versions, each with an environment in which a decision allows it and it does not stand, newest first."""
    stands = select(ReleaseRow.id).where(
        ReleaseRow.version_id == DecisionRow.version_id,
        ReleaseRow.environment == DecisionRow.environment,
        ReleaseRow.ended_at.is_(None),
    )
    newest = func.max(DecisionRow.decided_at)
    place = (DecisionRow.version_id, DecisionRow.environment)
    query = select(*place).where(DecisionRow.verdict == Verdict.ALLOW.value, ~stands.exists())
    found = session.execute(query.group_by(*place).order_by(newest.desc()).limit(limit))
    return [(row.version_id, row.environment) for row in found]


def add_approval(session: Session, approval: Approval) -> None:
    """Keep an answer."""
    session.add(
        ApprovalRow(
            id=approval.id,
            decision_id=approval.decision_id,
            role=approval.role,
            person=approval.person,
            answer=approval.answer.value,
            reason=approval.reason,
            conditions=approval.conditions,
            at=approval.at,
        )
    )
    session.flush()


def approvals(session: Session, decision_id: str) -> list[Approval]:
    """The answers to a decision, oldest first."""
    query = select(ApprovalRow).where(ApprovalRow.decision_id == decision_id).order_by(ApprovalRow.at, ApprovalRow.id)
    return [_approval(row) for row in session.scalars(query)]


def approvals_of(session: Session, decision_ids: Collection[str]) -> dict[str, list[Approval]]:
    """The answers to some decisions, oldest first, by decision; decisions without one have an empty list."""
    query = select(ApprovalRow).where(ApprovalRow.decision_id.in_(decision_ids))
    found: dict[str, list[Approval]] = {decision_id: [] for decision_id in decision_ids}
    for row in session.scalars(query.order_by(ApprovalRow.at, ApprovalRow.id)):
        found[row.decision_id].append(_approval(row))
    return found


def add_release(session: Session, release: Release) -> None:
    """Keep a release that stands from now on."""
    session.add(
        ReleaseRow(
            id=release.id,
            decision_id=release.decision_id,
            version_id=release.version_id,
            model=release.model,
            version=release.version,
            manifest_digest=release.manifest_digest,
            environment=release.environment,
            released_by=release.released_by,
            released_at=release.released_at,
            ended_at=release.ended_at,
            ended_reason=release.ended_reason,
        )
    )
    session.flush()


def end_release(session: Session, release_id: str, *, at: datetime, reason: str) -> None:
    """Let a release end."""
    ending = update(ReleaseRow).where(ReleaseRow.id == release_id, ReleaseRow.ended_at.is_(None))
    session.execute(ending.values(ended_at=at, ended_reason=reason))


def current(session: Session, model: str, environment: str) -> Release | None:
    """What stands in an environment now."""
    query = select(ReleaseRow).where(
        ReleaseRow.model == model, ReleaseRow.environment == environment, ReleaseRow.ended_at.is_(None)
    )
    row = session.scalars(query).one_or_none()
    return _release(row) if row else None


def active(session: Session, models: Collection[str] | None = None, *, digest: Digest | None = None) -> list[Release]:
    """Everything that stands now, by model and environment; of some models, or of one manifest, where given."""
    query = select(ReleaseRow).where(ReleaseRow.ended_at.is_(None)).order_by(ReleaseRow.model, ReleaseRow.environment)
    if models is not None:
        query = query.where(ReleaseRow.model.in_(models))
    if digest is not None:
        query = query.where(ReleaseRow.manifest_digest == digest)
    return [_release(row) for row in session.scalars(query)]


def history(
    session: Session,
    model: str,
    *,
    environment: str | None = None,
    at: datetime | None = None,
    limit: int | None = None,
) -> list[Release]:
    """The model's releases, newest first; those that stood at one moment where it is given, at most ``limit``."""
    query = select(ReleaseRow).where(ReleaseRow.model == model)
    query = query.order_by(ReleaseRow.released_at.desc(), ReleaseRow.id.desc()).limit(limit)
    if environment is not None:
        query = query.where(ReleaseRow.environment == environment)
    if at is not None:
        query = query.where(ReleaseRow.released_at <= at, or_(ReleaseRow.ended_at.is_(None), ReleaseRow.ended_at > at))
    return [_release(row) for row in session.scalars(query)]


def add_revocation(session: Session, revocation: Revocation) -> None:
    """Keep a revocation."""
    session.add(
        RevocationRow(
            manifest_digest=revocation.manifest_digest,
            reason=revocation.reason,
            revoked_by=revocation.revoked_by,
            revoked_at=revocation.revoked_at,
        )
    )
    session.flush()


def revocation(session: Session, digest: Digest) -> Revocation | None:
    """The revocation of a manifest."""
    row = session.get(RevocationRow, digest)
    return _revocation(row) if row else None


def revocations(session: Session, digests: Collection[Digest] | None = None) -> list[Revocation]:
    """All revocations, oldest first; those of some manifests where they are given."""
    query = select(RevocationRow).order_by(RevocationRow.revoked_at, RevocationRow.manifest_digest)
    if digests is not None:
        query = query.where(RevocationRow.manifest_digest.in_(digests))
    return [_revocation(row) for row in session.scalars(query)]


def label_of(session: Session, digest: Digest) -> str | None:
    """``model/version`` of the newest version that was sealed with this manifest."""
    query = select(VersionRow).where(VersionRow.manifest_digest == digest).order_by(VersionRow.registered_at.desc())
    row = session.scalars(query.limit(1)).one_or_none()
    return f"{row.model}/{row.version}" if row else None


def recorded_base(session: Session, version_id: str) -> Digest | None:
    """The sealed base that a version's lineage named when it was sealed."""
    row = session.get(VersionRow, version_id)
    base = row.lineage.get("base_model") if row else None
    return base if isinstance(base, str) and is_digest(base) else None


def _decision(row: DecisionRow) -> Decision:
    return _outcome(row, row.facts, row.envelope)


def _outcome(row: DecisionRow, facts: Mapping[str, Json], envelope: Mapping[str, Json]) -> Decision:
    return Decision(
        id=row.id,
        submission_id=row.submission_id,
        version_id=row.version_id,
        model=row.model,
        version=row.version,
        manifest_digest=row.manifest_digest,
        use_digest=row.use_digest,
        environment=row.environment,
        policy_name=row.policy_name,
        policy_version=row.policy_version,
        policy_digest=row.policy_digest,
        evaluation_id=row.evaluation_id,
        evaluation_digest=row.evaluation_digest,
        build=row.build,
        verdict=Verdict(row.verdict),
        results=tuple(RuleResult.parse(result) for result in row.results),
        facts=facts,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        digest=row.digest,
        envelope=envelope,
    )


def _approval(row: ApprovalRow) -> Approval:
    return Approval(
        id=row.id,
        decision_id=row.decision_id,
        role=row.role,
        person=row.person,
        answer=Answer(row.answer),
        reason=row.reason,
        conditions=row.conditions,
        at=row.at,
    )


def _release(row: ReleaseRow) -> Release:
    return Release(
        id=row.id,
        decision_id=row.decision_id,
        version_id=row.version_id,
        model=row.model,
        version=row.version,
        manifest_digest=row.manifest_digest,
        environment=row.environment,
        released_by=row.released_by,
        released_at=row.released_at,
        ended_at=row.ended_at,
        ended_reason=row.ended_reason,
    )


def _revocation(row: RevocationRow) -> Revocation:
    return Revocation(row.manifest_digest, row.reason, row.revoked_by, row.revoked_at)


def referred(session: Session) -> set[Digest]:
    """Digests of all manifests that were decided on, released or revoked."""
    columns = (DecisionRow.manifest_digest, ReleaseRow.manifest_digest, RevocationRow.manifest_digest)
    return {digest for column in columns for digest in session.scalars(select(column).distinct())}
