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
class UsedDataset:
    """A dataset that a model was trained on."""

    name: str
    digest: Digest
    licence: str


@dataclass(frozen=True)
class Lineage:
    """Where a version came from. What nobody knows is None, and listed by ``missing``.

    ``seconds`` is the training's wall time on ``device``; ``cost`` is what it cost in ``currency``. ``base_model`` is
    the digest of the sealed manifest, or of the weights, that training started from; None where it started from noise.
    """

    run_id: str | None = None
    code_commit: str | None = None
    datasets: tuple[UsedDataset, ...] = ()
    base_model: Digest | None = None
    device: str | None = None
    seconds: float | None = None
    cost: float | None = None
    currency: str | None = None

    def document(self) -> dict[str, Json]:
        """The lineage as JSON."""
        return {
            "run_id": self.run_id,
            "code_commit": self.code_commit,
            "datasets": [{"name": d.name, "digest": d.digest, "licence": d.licence} for d in self.datasets],
            "base_model": self.base_model,
            "device": self.device,
            "seconds": self.seconds,
            "cost": self.cost,
            "currency": self.currency,
        }

    def missing(self) -> tuple[str, ...]:
        """The parts that an auditor would ask for and that nobody wrote down.

        >>> Lineage(run_id="r1", code_commit="c1", device="cpu", seconds=3.0, cost=0.1, currency="EUR").missing()
        ('datasets',)
        """
        optional = {"base_model"}
        return tuple(name for name, value in self.document().items() if name not in optional and value in (None, []))


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
