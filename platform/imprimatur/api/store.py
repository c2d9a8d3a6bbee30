"""Every query about keyed requests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from imprimatur.api.tables import ReplyRow
from imprimatur.core.digests import Digest
from imprimatur.core.errors import BadInput, Conflict

KEPT = timedelta(days=1)
ABANDONED = timedelta(minutes=15)


@dataclass(frozen=True)
class Reply:
    """An answer: HTTP status, media type and body."""

    status: int
    media_type: str
    body: bytes


def claim(session: Session, principal: str, key: str, request: Digest, now: datetime) -> Reply | None:
    """The answer that this key already got, or None where the caller is the one to answer it now.

    Raises BadInput ``key-reused`` where the key stands for another request, and Conflict ``in-flight`` while the first
    request with it is still being answered. A claim that nobody answered for 15 minutes can be claimed again.
    """
    session.execute(delete(ReplyRow).where(ReplyRow.at < now - KEPT))
    row = session.get(ReplyRow, (principal, key), with_for_update=True)
    if row is None:
        session.add(ReplyRow(principal=principal, key=key, request_digest=request, at=now))
        session.flush()
        return None
    if row.request_digest != request:
        raise BadInput(
            "key-reused", f"Idempotency-Key {key!r} was used for another request (expected a fresh key for a new one)"
        )
    if row.status is not None:
        return Reply(row.status, row.media_type or "application/json", row.body or b"")
    if row.at > now - ABANDONED:
        raise Conflict("in-flight", f"The first request with Idempotency-Key {key!r} is not answered yet; ask again")
    row.at = now
    return None


def answer(session: Session, principal: str, key: str, reply: Reply) -> None:
    """Keep the answer, so that a repetition of the request gets the same one."""
    row = session.get_one(ReplyRow, (principal, key))
    row.status, row.media_type, row.body = reply.status, reply.media_type, reply.body


def release(session: Session, principal: str, key: str) -> None:
    """Forget a claim that came to no answer worth repeating."""
    session.execute(delete(ReplyRow).where(ReplyRow.principal == principal, ReplyRow.key == key))
