"""Every query of datasets."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from imprimatur.core.digests import Digest
from imprimatur.datasets.model import Dataset, DatasetKind
from imprimatur.datasets.tables import DatasetRow


def insert(session: Session, dataset: Dataset) -> None:
    """Write a new dataset."""
    session.add(
        DatasetRow(
            name=dataset.name,
            digest=dataset.digest,
            kind=dataset.kind.value,
            owner=dataset.owner,
            licence=dataset.licence,
            source=dataset.source,
            rows=dataset.rows,
            added_by=dataset.added_by,
            added_at=dataset.added_at,
            validation=dict(dataset.validation),
        )
    )


def exact(session: Session, name: str, digest: Digest) -> Dataset | None:
    """The dataset of this name and these bytes."""
    row = session.get(DatasetRow, (name, digest))
    return None if row is None else _dataset(row)


def newest(session: Session, name: str) -> Dataset | None:
    """The dataset that the name stands for now."""
    query = select(DatasetRow).where(DatasetRow.name == name).order_by(DatasetRow.added_at.desc()).limit(1)
    row = session.scalars(query).one_or_none()
    return None if row is None else _dataset(row)


def of_digest(session: Session, digest: Digest) -> Dataset | None:
    """The newest dataset of these bytes, whatever its name."""
    query = select(DatasetRow).where(DatasetRow.digest == digest).order_by(DatasetRow.added_at.desc()).limit(1)
    row = session.scalars(query).one_or_none()
    return None if row is None else _dataset(row)


def every(session: Session) -> list[Dataset]:
    """All datasets, newest first."""
    return [_dataset(row) for row in session.scalars(select(DatasetRow).order_by(DatasetRow.added_at.desc()))]


def _dataset(row: DatasetRow) -> Dataset:
    return Dataset(
        name=row.name,
        kind=DatasetKind(row.kind),
        digest=row.digest,
        owner=row.owner,
        licence=row.licence,
        source=row.source,
        rows=row.rows,
        added_by=row.added_by,
        added_at=row.added_at,
        validation=row.validation,
    )


def referred(session: Session) -> set[Digest]:
    """Digests of all datasets' blobs."""
    return set(session.scalars(select(DatasetRow.digest)))
