"""The audit page: what happened last, and whether the log still adds up to its root."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from imprimatur.audit.checkpoints import Covered
from imprimatur.audit.model import Event, Finding, TreeHead
from imprimatur.audit.service import AuditLog
from imprimatur.audit.store import entries, head_of
from imprimatur.audit.verification import compare
from imprimatur.core.digests import Json

EVENTS = 100
QUICK = 20_000
"""Up to so many entries the whole log is recomputed on every visit; more take `imprimatur audit verify`."""


@dataclass(frozen=True)
class Trail:
    """The newest events and the log's head; ``findings`` say what is wrong with the log.

    ``checked`` is False where the log is too long to recompute here.
    """

    events: tuple[Event, ...]
    head: TreeHead
    findings: tuple[Finding, ...]
    checked: bool


def trail_of(log: AuditLog, *, subject: str | None = None) -> Trail:
    """The newest events, of one subject where one is named, and the check of the whole log against its head."""
    events = tuple(log.recent(subject=subject, limit=EVENTS))
    with log.database.reading() as session:
        head = head_of(session)
        if head.size > QUICK:
            return Trail(events, head, (), checked=False)
        with closing(entries(session)) as every:
            return Trail(events, head, tuple(compare(every, Covered(), head)), checked=True)


def is_refusal(event: Event) -> bool:
    """Whether the event says that something was refused."""
    return event.action.endswith(".refused")


def told(detail: Mapping[str, Json]) -> str:
    """An event's detail in one line: the reason where there is one, else what it names."""
    if "message" in detail:
        return str(detail["message"])
    shown = [f"{name.replace('_', ' ')} {_short(value)}" for name, value in detail.items() if _plain(value)]
    return ", ".join(shown)


def _plain(value: Json) -> bool:
    return isinstance(value, str | int | float) and value != ""


def _short(value: Json) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.removeprefix("sha256:")[:12] if text.startswith("sha256:") else text[:80]
