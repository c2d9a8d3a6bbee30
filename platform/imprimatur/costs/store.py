"""Every query of the ledger."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from imprimatur.core.errors import Fault
from imprimatur.costs.model import Kind, Total, Usage
from imprimatur.costs.tables import UsageRow


def insert_once(session: Session, usage: Usage) -> Usage:
    """Write an entry unless its reference is there; the entry that stands, whoever wrote it."""
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = sqlite.insert(UsageRow) if on_sqlite else postgresql.insert(UsageRow)
    values = {**vars(usage), "kind": usage.kind.value}
    session.execute(insert.values(**values).on_conflict_do_nothing(index_elements=["reference"]))
    row = session.get(UsageRow, usage.reference)
    if row is None:
        raise Fault("ledger-lost-entry", f"The ledger has no entry {usage.reference} (expected the one just written)")
    return _usage(row)


def entries(session: Session, *, model: str | None, limit: int) -> list[Usage]:
    """Entries, newest first; those of one model where one is given."""
    query = select(UsageRow).order_by(UsageRow.at.desc(), UsageRow.reference).limit(limit)
    if model is not None:
        query = query.where(UsageRow.model == model)
    return [_usage(row) for row in session.scalars(query)]


def totals(session: Session, *, model: str | None = None, version: int | None = None) -> list[Total]:
    """Sums by model, kind and currency, in that order."""
    groups = (UsageRow.model, UsageRow.kind, UsageRow.currency)
    sums = (func.sum(UsageRow.amount), func.sum(UsageRow.seconds), func.sum(UsageRow.images))
    query = select(*groups, *sums).group_by(*groups).order_by(*groups)
    if model is not None:
        query = query.where(UsageRow.model == model)
    if version is not None:
        query = query.where(UsageRow.version == version)
    return [
        Total(name, Kind(kind), float(amount), currency, float(seconds), int(images))
        for name, kind, currency, amount, seconds, images in session.execute(query)
    ]


def by_version(session: Session, versions: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[Total]]:
    """Sums of each of some versions, given as model and number, by kind and currency."""
    groups = (UsageRow.model, UsageRow.version, UsageRow.kind, UsageRow.currency)
    sums = (func.sum(UsageRow.amount), func.sum(UsageRow.seconds), func.sum(UsageRow.images))
    models, numbers = {model for model, _ in versions}, {number for _, number in versions}
    query = select(*groups, *sums).where(UsageRow.model.in_(models), UsageRow.version.in_(numbers)).group_by(*groups)
    found: dict[tuple[str, int], list[Total]] = {}
    for model, version, kind, currency, amount, seconds, images in session.execute(query):
        total = Total(model, Kind(kind), float(amount), currency, float(seconds), int(images))
        found.setdefault((model, version or 0), []).append(total)
    return found


def _usage(row: UsageRow) -> Usage:
    return Usage(
        reference=row.reference,
        at=row.at,
        kind=Kind(row.kind),
        team=row.team,
        model=row.model,
        version=row.version,
        device=row.device,
        seconds=row.seconds,
        images=row.images,
        amount=row.amount,
        currency=row.currency,
    )
