"""The bundle that gateways pull: what stands where, what was revoked, and which applications may ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from imprimatur.access.model import Client
from imprimatur.core.clock import iso
from imprimatur.core.digests import Digest, Json
from imprimatur.release.model import Approval, Decision, Release, Revocation

BUNDLE_TYPE = "application/vnd.imprimatur.bundle+json"


@dataclass(frozen=True)
class Entry:
    """One active release with the decision and the answers that it rests on.

    ``base`` is the manifest whose bytes are served with an adapter's; gateways hold it against what was revoked.
    """

    release: Release
    decision: Decision
    approvals: tuple[Approval, ...]
    base: Digest | None

    def document(self) -> dict[str, Json]:
        """The entry as JSON; the decision is its signed envelope."""
        return {
            "model": self.release.model,
            "version": self.release.version,
            "environment": self.release.environment,
            "manifest_digest": self.release.manifest_digest,
            "base_digest": self.base,
            "released_at": iso(self.release.released_at),
            "decision": self.decision.envelope,
            "approvals": [approval.document() for approval in self.approvals],
        }


def payload(
    entries: Sequence[Entry],
    revoked: Sequence[Revocation],
    clients: Iterable[Client],
    *,
    serial: int,
    at: datetime,
    valid_for: timedelta,
) -> dict[str, Json]:
    """The bundle as JSON. ``serial`` never goes back, so that nobody can bring an older bundle back."""
    known = {client.hash: client for client in clients}
    return {
        "issued_at": iso(at),
        "expires_at": iso(at + valid_for),
        "serial": serial,
        "releases": [entry.document() for entry in entries],
        "revoked": [revocation.manifest_digest for revocation in revoked],
        "clients": [{"hash": c.hash, "name": c.name, "team": c.team} for _, c in sorted(known.items())],
    }
