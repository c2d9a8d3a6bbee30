"""Versions, what they are for, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from imprimatur.core.digests import Digest, Json, digest_of_json


class RiskTier(StrEnum):
    """How much harm a wrong image could do, as the owner declares it."""

    MINIMAL = "minimal"
    LIMITED = "limited"
    HIGH = "high"


@dataclass(frozen=True)
class Use:
    """What a model is submitted for. A decision names this use and holds for no other."""

    purpose: str
    prohibited: tuple[str, ...]
    audience: str
    region: str
    tier: RiskTier
    owner: str
    review_by: date

    def document(self) -> Mapping[str, Json]:
        """The use as JSON."""
        return {
            "purpose": self.purpose,
            "prohibited": list(self.prohibited),
            "audience": self.audience,
            "region": self.region,
            "tier": self.tier.value,
            "owner": self.owner,
            "review_by": self.review_by.isoformat(),
        }

    @property
    def digest(self) -> Digest:
        """The digest of the use's JSON."""
        return digest_of_json(self.document())


class Stage(StrEnum):
    """How far along the line a version is."""

    REGISTERED = "registered"
    SEALED = "sealed"
    SUBMITTED = "submitted"
    EVALUATED = "evaluated"
    DECIDED = "decided"
    RELEASED = "released"


@dataclass(frozen=True)
class Version:
    """One version of a model. ``id`` never comes again, though MLflow may give out model and number anew."""

    id: str
    model: str
    version: int
    run_id: str | None
    source: str
    team: str
    registered_by: str
    registered_at: datetime
    manifest_digest: Digest | None
    sealed_at: datetime | None
    lineage: Mapping[str, Json]

    @property
    def label(self) -> str:
        """``model/version``, as people and commands name it."""
        return f"{self.model}/{self.version}"


@dataclass(frozen=True)
class Submission:
    """A sealed version put forward for one use by one person."""

    id: str
    version_id: str
    manifest_digest: Digest
    use: Use
    submitted_by: str
    submitted_at: datetime
