"""Every query of the audit log."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from imprimatur.audit.merkle import grow, leaf_hash, root_of
from imprimatur.audit.model import Event, TreeHead
from imprimatur.audit.tables import EventRow, HeadRow
from imprimatur.core.digests import Json, canonical_json
from imprimatur.core.errors import ImprimaturError

_HASH = 32


def append(
    session: Session, *, at: datetime, actor: str, action: str, subject: str, detail: Mapping[str, Json]
) -> Event:
    """Append one event in the caller's transaction and return it. Appends wait for each other on the head's row."""
    head = session.get(HeadRow, 1, with_for_update=True)
    if head is None:
        head = HeadRow(id=1, size=0, frontier=b"")
        session.add(head)
    event = Event(head.size, at, actor, action, subject, detail)
    leaf = leaf_hash(event.canonical())
    session.add(
        EventRow(
            position=head.size,
            at=at,
            actor=actor,
            action=action,
            subject=subject,
            detail=dict(detail),
            leaf=leaf,
        )
    )
    head.frontier = b"".join(grow(_split(head.frontier), head.size, leaf))
    head.size += 1
    session.flush()
    return event


def lock(session: Session) -> None:
    """Wait for every other unit of work, and let none commit before this transaction ends.

    Every mutation appends to the log, so holding its head holds the world still; SQLite does that by itself.
    """
    session.get(HeadRow, 1, with_for_update=True)


def head_of(session: Session) -> TreeHead:
    """Size and root of the log as the head's row has them."""
    head = session.get(HeadRow, 1)
    frontier = _split(head.frontier) if head else []
    return TreeHead(head.size if head else 0, "sha256:" + root_of(frontier).hex())


def events(
    session: Session, *, subject: str | None = None, limit: int | None = None, before: int | None = None
) -> list[Event]:
    """Events, newest first; those of one subject, and those older than the entry ``before``, where given."""
    query = select(EventRow).order_by(EventRow.position.desc())
    if before is not None:
        query = query.where(EventRow.position < before)
    if subject is not None:
        query = query.where(EventRow.subject == subject)
    if limit is not None:
        query = query.limit(limit)
    return [_event(row) for row in session.scalars(query)]


def entries(session: Session, *, start: int = 0, end: int | None = None) -> Generator[tuple[Event, bytes]]:
    """Every event from ``start`` on, below ``end`` where it is given, with its stored leaf hash, oldest first.

    They are streamed; close the generator if you stop half-way. A row that somebody made unreadable comes out as an
    event with another content, whose hash fits nothing.
    """
    query = select(
        EventRow.position,
        type_coerce(EventRow.at, NullType),
        EventRow.actor,
        EventRow.action,
        EventRow.subject,
        type_coerce(EventRow.detail, NullType),
        EventRow.leaf,
    )
    query = query.where(EventRow.position >= start).order_by(EventRow.position).execution_options(yield_per=1000)
    if end is not None:
        query = query.where(EventRow.position < end)
    with session.execute(query) as rows:
        for position, at, actor, action, subject, detail, leaf in rows:
            yield Event(position, _moment(at), str(actor), str(action), str(subject), _detail(detail)), leaf


def _moment(stored: Any) -> datetime:
    try:
        moment = stored if isinstance(stored, datetime) else datetime.fromisoformat(str(stored))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _detail(stored: Any) -> Mapping[str, Json]:
    try:
        detail = json.loads(stored)
        canonical_json(detail)
    except (TypeError, ValueError, ImprimaturError):
        return {"unreadable": str(stored)}
    return detail if isinstance(detail, dict) else {"unreadable": str(stored)}


def _event(row: EventRow) -> Event:
    return Event(row.position, row.at, row.actor, row.action, row.subject, row.detail)


def _split(frontier: bytes) -> list[bytes]:
    return [frontier[i : i + _HASH] for i in range(0, len(frontier), _HASH)]
