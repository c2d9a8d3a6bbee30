"""Every query of the monitor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from imprimatur.core.digests import Digest
from imprimatur.monitoring.model import ServedScore
from imprimatur.monitoring.tables import ServedImageRow, ServedScoreRow, SpoolFileRow
from imprimatur.serving.spool import Served


@dataclass(frozen=True)
class Kept:
    """A served image that was kept and waits to be scored."""

    id: str
    at: datetime
    model: str
    version: int
    manifest_digest: Digest
    environment: str
    prompt: str
    image: str


@dataclass(frozen=True)
class Measured:
    """How one image matched its prompt, as ``statistics.alignment`` says."""

    cosine: float
    margin: float


def position(session: Session, name: str) -> int:
    """How far a spool file was read; nobody else reads it until the caller's transaction ends."""
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = sqlite.insert(SpoolFileRow) if on_sqlite else postgresql.insert(SpoolFileRow)
    session.execute(insert.values(name=name, position=0).on_conflict_do_nothing(index_elements=["name"]))
    query = select(SpoolFileRow.position).where(SpoolFileRow.name == name).with_for_update()
    return session.scalars(query).one()


def positions(session: Session) -> dict[str, int]:
    """How far each spool file was read."""
    return {row.name: row.position for row in session.scalars(select(SpoolFileRow))}


def move(session: Session, name: str, to: int) -> None:
    """Remember that a spool file was read up to the byte before ``to``."""
    session.execute(update(SpoolFileRow).where(SpoolFileRow.name == name).values(position=to))


def insert(session: Session, served: Served) -> bool:
    """Write one served image down, and say whether it was new."""
    if session.get(ServedImageRow, served.id) is not None:
        return False
    kept = served.image is not None
    session.add(
        ServedImageRow(
            id=served.id,
            at=served.at,
            model=served.model,
            version=served.version,
            manifest_digest=served.manifest_digest,
            environment=served.environment,
            prompt=served.prompt if kept else None,
            image=served.image,
            waiting=kept,
        )
    )
    session.flush()
    return True


def waiting(session: Session, limit: int) -> list[Kept]:
    """Kept images that were not scored yet, oldest first."""
    query = select(ServedImageRow).where(ServedImageRow.waiting).order_by(ServedImageRow.at).limit(limit)
    return [
        Kept(
            id=row.id,
            at=row.at,
            model=row.model,
            version=row.version,
            manifest_digest=row.manifest_digest,
            environment=row.environment,
            prompt=row.prompt or "",
            image=row.image or "",
        )
        for row in session.scalars(query)
    ]


def set_measured(session: Session, image: str, measured: Measured, *, backbone: str, weights_digest: Digest) -> None:
    """Write down how one image matched its prompt."""
    _settle(
        session,
        image,
        cosine=measured.cosine,
        margin=measured.margin,
        backbone=backbone,
        weights_digest=weights_digest,
    )


def set_fault(session: Session, image: str, fault: str) -> None:
    """Write down why one image can't be scored."""
    _settle(session, image, fault=fault[:256])


def measured(
    session: Session,
    manifest_digest: Digest,
    environment: str,
    *,
    start: datetime,
    end: datetime,
    weights_digest: Digest,
) -> list[Measured]:
    """What was measured with the same weights on images served from ``start`` to before ``end``, oldest first."""
    query = (
        select(ServedImageRow.cosine, ServedImageRow.margin)
        .where(
            *_in(manifest_digest, environment, start, end),
            ServedImageRow.weights_digest == weights_digest,
            ServedImageRow.cosine.is_not(None),
            ServedImageRow.margin.is_not(None),
        )
        .order_by(ServedImageRow.at, ServedImageRow.id)
    )
    return [Measured(float(cosine or 0.0), float(margin or 0.0)) for cosine, margin in session.execute(query)]


def count(session: Session, manifest_digest: Digest, environment: str, *, start: datetime, end: datetime) -> int:
    """How many images were served from ``start`` to before ``end``."""
    query = select(func.count()).select_from(ServedImageRow).where(*_in(manifest_digest, environment, start, end))
    return session.scalars(query).one()


def put_score(session: Session, score: ServedScore) -> None:
    """Write a window's score down; a later measurement of the same window takes its place."""
    session.merge(ServedScoreRow(id=score.id, **vars(score)))


def scores(session: Session, model: str, limit: int) -> list[ServedScore]:
    """A model's scores, newest window first."""
    query = (
        select(ServedScoreRow)
        .where(ServedScoreRow.model == model)
        .order_by(ServedScoreRow.window_start.desc(), ServedScoreRow.version.desc(), ServedScoreRow.name)
        .limit(limit)
    )
    return [_score(row) for row in session.scalars(query)]


def _in(manifest_digest: Digest, environment: str, start: datetime, end: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        ServedImageRow.manifest_digest == manifest_digest,
        ServedImageRow.environment == environment,
        ServedImageRow.at >= start,
        ServedImageRow.at < end,
    )


def _settle(session: Session, image: str, **values: object) -> None:
    session.execute(update(ServedImageRow).where(ServedImageRow.id == image).values(waiting=False, **values))


def _score(row: ServedScoreRow) -> ServedScore:
    return ServedScore(
        model=row.model,
        version=row.version,
        manifest_digest=row.manifest_digest,
        environment=row.environment,
        window_start=row.window_start,
        window_end=row.window_end,
        served=row.served,
        name=row.name,
        value=row.value,
        ci_low=row.ci_low,
        ci_high=row.ci_high,
        n=row.n,
        at=row.at,
    )
