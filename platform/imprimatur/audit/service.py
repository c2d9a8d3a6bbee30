"""The log as the other rooms use it: a unit of work that commits with its events, and refusals that are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.orm import Session

from imprimatur.audit import store
from imprimatur.audit.model import Event, TreeHead
from imprimatur.core.clock import Clock, utc_now
from imprimatur.core.database import Database
from imprimatur.core.digests import Json
from imprimatur.core.errors import ImprimaturError


@dataclass(frozen=True)
class Unit:
    """One transaction by one actor about one subject; what it records commits with what it changes."""

    session: Session
    actor: str
    subject: str
    _clock: Clock

    def hold_still(self) -> None:
        """Let nothing else change until this transaction ends, so that what it checks is true when it commits."""
        store.lock(self.session)

    def record(self, action: str, /, *, subject: str | None = None, **detail: Json) -> Event:
        """Append an event about the unit's subject, or another one, to this transaction."""
        return store.append(
            self.session,
            at=self._clock(),
            actor=self.actor,
            action=action,
            subject=subject or self.subject,
            detail=detail,
        )


class AuditLog:
    """Appends events and reads them back."""

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        self.database = database
        self.clock = clock

    @contextmanager
    def unit_of_work(self, actor: str, intent: str, subject: str) -> Iterator[Unit]:
        """One transaction: the block's changes and the events it records are committed together or not at all.

        Where the block raises one of our errors, everything is rolled back and ``<intent>.refused`` with its code is
        recorded in a transaction of its own; the error goes on to the caller. ``intent`` is ``noun.verb``, as in
        ``release.promote``.
        """
        with self.attempt(actor, intent, subject), self.database.transaction() as session:
            yield Unit(session, actor, subject, self.clock)

    @contextmanager
    def attempt(self, actor: str, intent: str, subject: str) -> Iterator[None]:
        """What ``actor`` tries before a transaction, or without one: where the block raises one of our errors,
        ``<intent>.refused`` is recorded and the error goes on to the caller."""
        try:
            yield
        except ImprimaturError as error:
            self.refusal(actor, intent, subject, error)
            raise

    def refusal(self, actor: str, intent: str, subject: str, error: ImprimaturError) -> None:
        """Record that ``actor``'s ``intent`` on ``subject`` was refused with ``error``."""
        detail: Mapping[str, Json] = {"code": error.code, "message": error.message}
        with self.database.transaction() as session:
            store.append(
                session,
                at=self.clock(),
                actor=actor,
                action=f"{intent}.refused",
                subject=subject,
                detail=detail,
            )

    def recent(self, *, subject: str | None = None, limit: int = 100, before: int | None = None) -> list[Event]:
        """The newest events, newest first; those older than the entry ``before`` where it is given."""
        with self.database.reading() as session:
            return store.events(session, subject=subject, limit=limit, before=before)

    def head(self) -> TreeHead:
        """Size and root of the log now."""
        with self.database.reading() as session:
            return store.head_of(session)
