"""Audit events and the unit of work that they commit with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from imprimatur.core.clock import iso
from imprimatur.core.digests import Digest, Json, canonical_json


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
