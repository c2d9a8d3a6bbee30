"""Every query of suites, evaluation runs, their scores, and the workers that make them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.orm import Session, defer

from imprimatur.core.digests import Digest
from imprimatur.evaluation.document import from_document
from imprimatur.evaluation.model import Evaluation, Findings, Status, Suite
from imprimatur.evaluation.tables import EvaluationRow, EvidenceRow, ScoreRow, SuiteRow, WorkerRow
from imprimatur_evaluators.spec import Direction, Score

_FORGOTTEN = timedelta(days=1)
_OPEN = (Status.QUEUED.value, Status.RUNNING.value)


@dataclass(frozen=True)
class Measured:
    """The bytes that a complete run measured, and the digest of what it found."""

    manifest: Digest
    digest: Digest


def insert_suite(session: Session, suite: Suite, *, by: str, at: datetime) -> None:
    """Write a new suite."""
    session.add(
        SuiteRow(
            digest=suite.digest,
            name=suite.name,
            version=suite.version,
            document=dict(suite.document),
            added_by=by,
            added_at=at,
        )
    )


def suite(session: Session, name: str, version: int | None = None) -> Suite | None:
    """The suite of that name and version, or its highest version."""
    query = select(SuiteRow).where(SuiteRow.name == name).order_by(SuiteRow.version.desc()).limit(1)
    if version is not None:
        query = query.where(SuiteRow.version == version)
    row = session.scalars(query).one_or_none()
    return None if row is None else from_document(row.document)


def suite_of_digest(session: Session, digest: Digest) -> Suite | None:
    """The suite whose document has that digest."""
    row = session.get(SuiteRow, digest)
    return None if row is None else from_document(row.document)


def suites(session: Session) -> list[Suite]:
    """All suites by name, the highest version first."""
    query = select(SuiteRow).order_by(SuiteRow.name, SuiteRow.version.desc())
    return [from_document(row.document) for row in session.scalars(query)]


def insert(session: Session, run: Evaluation) -> None:
    """Write a new run."""
    session.add(
        EvaluationRow(
            id=run.id,
            version_id=run.version_id,
            manifest_digest=run.manifest_digest,
            suite_name=run.suite_name,
            suite_digest=run.suite_digest,
            seed=run.seed,
            status=run.status.value,
            done=run.done,
            total=run.total,
            build=run.build,
            device=run.device,
            seconds=run.seconds,
            evidence=dict(run.evidence),
            digest=run.digest,
            error=run.error,
            requested_by=run.requested_by,
            requested_at=run.requested_at,
            finished_at=run.finished_at,
            attempts=run.attempts,
            worker=run.worker,
        )
    )


def evaluation(session: Session, run: str, *, lock: bool = False) -> Evaluation | None:
    """The run with its scores."""
    row = session.get(EvaluationRow, run, with_for_update=lock or None)
    return None if row is None else _evaluation(session, row)


def same_open(session: Session, manifest: Digest, suite_digest: Digest, seed: int) -> Evaluation | None:
    """A run of the same bytes, suite and seed that has not come to an end."""
    query = select(EvaluationRow).where(
        EvaluationRow.manifest_digest == manifest,
        EvaluationRow.suite_digest == suite_digest,
        EvaluationRow.seed == seed,
        EvaluationRow.status.in_(_OPEN),
    )
    row = session.scalars(query.limit(1)).one_or_none()
    return None if row is None else _evaluation(session, row)


def of_version(
    session: Session, version_id: str, *, complete: bool = False, limit: int | None = None
) -> list[Evaluation]:
    """The version's runs, newest first: by request, or, where only complete ones count, by completion."""
    query = select(EvaluationRow).where(EvaluationRow.version_id == version_id)
    if complete:
        query = query.where(EvaluationRow.status == Status.COMPLETE.value).order_by(EvaluationRow.finished_at.desc())
    else:
        query = query.order_by(EvaluationRow.requested_at.desc())
    return [_evaluation(session, row) for row in session.scalars(query.limit(limit))]


def of_versions(session: Session, version_ids: Collection[str], *, whole: bool) -> list[Evaluation]:
    """All runs of some versions, newest first by request; where not ``whole``, without scores and evidence."""
    query = select(EvaluationRow).where(EvaluationRow.version_id.in_(version_ids))
    if not whole:
        query = query.options(defer(EvaluationRow.evidence))
    found = list(session.scalars(query.order_by(EvaluationRow.requested_at.desc())))
    if not whole:
        return [_with_scores(row, (), {}) for row in found]
    scores = scores_of(session, [row.id for row in found])
    return [_with_scores(row, scores.get(row.id, ()), row.evidence) for row in found]


def scores_of(session: Session, runs: Collection[str]) -> dict[str, list[Score]]:
    """The scores of some runs by name, by the run's id; runs without any are left out."""
    query = select(*ScoreRow.__table__.columns).where(ScoreRow.evaluation_id.in_(runs)).order_by(ScoreRow.name)
    scores: dict[str, list[Score]] = {}
    for score in session.execute(query) if runs else ():
        scores.setdefault(score.evaluation_id, []).append(_score(score))
    return scores


def newest_measured(session: Session, version_ids: Collection[str]) -> dict[str, Measured]:
    """What the newest complete run of some versions measured, by version; versions without one are left out."""
    columns = (EvaluationRow.version_id, EvaluationRow.manifest_digest, EvaluationRow.digest)
    complete = (EvaluationRow.version_id.in_(version_ids), EvaluationRow.status == Status.COMPLETE.value)
    found = session.execute(select(*columns).where(*complete).order_by(EvaluationRow.finished_at))
    return {row.version_id: Measured(row.manifest_digest, row.digest) for row in found}


def open_runs(session: Session) -> dict[str, str]:
    """The worker of each run that has not come to an end, empty where there was none yet; the oldest run first."""
    query = select(EvaluationRow.id, EvaluationRow.worker).where(EvaluationRow.status.in_(_OPEN))
    return {row.id: row.worker for row in session.execute(query.order_by(EvaluationRow.requested_at))}


def begin(session: Session, run: Evaluation) -> None:
    """Mark a run as being in its worker's hands."""
    _update(
        session,
        run.id,
        status=Status.RUNNING.value,
        attempts=run.attempts,
        worker=run.worker,
        device=run.device,
        done=0,
    )


def advance(session: Session, run: str, *, done: int, seconds: float) -> None:
    """Write down how far a run has come, and the seconds that this took."""
    _update(session, run, done=done, seconds=EvaluationRow.seconds + seconds)


def fail(session: Session, run: str, *, error: str, at: datetime) -> None:
    """Close a run without scores."""
    _update(session, run, status=Status.FAILED.value, error=error, finished_at=at)


def complete(
    session: Session,
    run: str,
    findings: Findings,
    *,
    digest: Digest,
    seconds: float,
    at: datetime,
) -> None:
    """Close a run with its scores, evidence and digest."""
    _update(
        session,
        run,
        status=Status.COMPLETE.value,
        build=findings.build,
        device=findings.device,
        seconds=EvaluationRow.seconds + seconds,
        evidence=dict(findings.evidence),
        digest=digest,
        finished_at=at,
    )
    session.add_all(ScoreRow(evaluation_id=run, **score.document()) for score in findings.scores)
    session.add_all(EvidenceRow(evaluation_id=run, blob=blob) for blob in sorted(findings.blobs))


def is_evidence(session: Session, blob: Digest) -> bool:
    """Whether some run's evidence shows this image."""
    return session.scalars(select(EvidenceRow).where(EvidenceRow.blob == blob).limit(1)).one_or_none() is not None


def beat(session: Session, worker: str, *, host: str, at: datetime) -> None:
    """Write down a worker's sign of life; a new one clears away those that were last seen long ago."""
    row = session.get(WorkerRow, worker)
    if row is None:
        session.execute(delete(WorkerRow).where(WorkerRow.seen_at < at - _FORGOTTEN))
        session.add(WorkerRow(id=worker, host=host, started_at=at, seen_at=at))
    else:
        row.seen_at = at


def workers(session: Session) -> dict[str, datetime]:
    """When each worker was last seen, by its id."""
    return {row.id: row.seen_at for row in session.scalars(select(WorkerRow))}


def dismiss(session: Session, worker: str) -> None:
    """Forget a worker that has left."""
    session.execute(delete(WorkerRow).where(WorkerRow.id == worker))


def _update(session: Session, run: str, **values: object) -> None:
    session.execute(update(EvaluationRow).where(EvaluationRow.id == run).values(**values))


def _evaluation(session: Session, row: EvaluationRow) -> Evaluation:
    scores = session.scalars(select(ScoreRow).where(ScoreRow.evaluation_id == row.id).order_by(ScoreRow.name))
    return _with_scores(row, [_score(score) for score in scores], row.evidence)


def _with_scores(row: EvaluationRow, scores: Iterable[Score], evidence: Mapping[str, Any]) -> Evaluation:
    return Evaluation(
        id=row.id,
        version_id=row.version_id,
        manifest_digest=row.manifest_digest,
        suite_name=row.suite_name,
        suite_digest=row.suite_digest,
        seed=row.seed,
        status=Status(row.status),
        done=row.done,
        total=row.total,
        build=row.build,
        device=row.device,
        seconds=row.seconds,
        scores=tuple(scores),
        evidence=evidence,
        digest=row.digest,
        error=row.error,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        finished_at=row.finished_at,
        attempts=row.attempts,
        worker=row.worker,
    )


def _score(row: ScoreRow | Row[Any]) -> Score:
    return Score(
        name=row.name,
        value=row.value,
        ci_low=row.ci_low,
        ci_high=row.ci_high,
        n=row.n,
        direction=Direction(row.direction),
        backbone=row.backbone,
        weights_digest=row.weights_digest,
        protocol=row.protocol,
        seed=row.seed,
    )


def referred(session: Session) -> set[Digest]:
    """Digests of the manifests that were evaluated, and of the images that evidence shows."""
    evaluated = set(session.scalars(select(EvaluationRow.manifest_digest).distinct()))
    return evaluated | set(session.scalars(select(EvidenceRow.blob).distinct()))
