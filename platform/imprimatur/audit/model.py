"""Audit events and the unit of work that they commit with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imprimatur.audit.merkle import grow
from imprimatur.core.clock import iso
from imprimatur.core.digests import Digest, Json, canonical_json
from imprimatur.core.errors import ImprimaturError, Tampered


@dataclass(frozen=True)
class Event:
    """One entry of the log: ``actor`` took ``action`` on ``subject``.

    ``action`` is ``noun.verb`` in the past tense (``release.promoted``), or ends in ``.refused`` where a rule said no.
    ``subject`` names the thing for people (``digits/1``); ``detail`` holds digests, ids and reasons.
    """

    index: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Json]

    @classmethod
    def parse(cls, data: bytes) -> Event:
        """The event in bytes that were once hashed. Raises Tampered ``bad-event`` where they are no event's."""
        try:
            document = json.loads(data)
            at = datetime.fromisoformat(document["at"])
            event = cls(
                document["index"], at, document["actor"], document["action"], document["subject"], document["detail"]
            )
            if event.canonical() != data:
                raise ValueError("another spelling of the same content")
        except (ValueError, KeyError, TypeError, AttributeError, ImprimaturError) as error:
            raise Tampered("bad-event", f"These bytes are no event of an audit log ({error})") from error
        return event

    def canonical(self) -> bytes:
        """The bytes that the log hashes."""
        return canonical_json(
            {
                "index": self.index,
                "at": iso(self.at),
                "actor": self.actor,
                "action": self.action,
                "subject": self.subject,
                "detail": dict(self.detail),
            }
        )


@dataclass(frozen=True)
class TreeHead:
    """Size and root of the log at one moment."""

    size: int
    root: Digest


@dataclass(frozen=True)
class Checkpoint:
    """A signed statement of what the log was, with the hashes that lead there from the checkpoint before.

    ``before`` is the frontier of the first ``start`` entries, ``leaves`` are the hashes of those from ``start`` on.
    """

    head: TreeHead
    start: int
    before: tuple[bytes, ...]
    leaves: tuple[bytes, ...]

    @property
    def frontier(self) -> tuple[bytes, ...]:
        """The frontier after all of them, from which the next checkpoint goes on."""
        frontier = list(self.before)
        for index, leaf in enumerate(self.leaves, self.start):
            frontier = grow(frontier, index, leaf)
        return tuple(frontier)


class FindingKind(StrEnum):
    """What can be wrong with the log."""

    CHANGED = "changed"  # an entry is not what was written
    MISSING = "missing"  # an entry is gone from the middle
    REORDERED = "reordered"  # an entry stands where another one was written
    TRUNCATED = "truncated"  # the last entries are gone
    ADDED = "added"  # an entry was never appended by us
    HEAD = "head"  # the head does not fit the entries
    CHECKPOINT = "checkpoint"  # a checkpoint is missing, unreadable, not ours or contradicts another


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with ``count`` entries from ``entry`` on, or with no entry in particular (None)."""

    kind: FindingKind
    entry: int | None
    message: str
    count: int = 1


@dataclass(frozen=True)
class Verification:
    """What reading the whole log came to. The first ``covered`` entries were compared with signed roots."""

    head: TreeHead
    checkpoints: int
    covered: int
    findings: tuple[Finding, ...]
