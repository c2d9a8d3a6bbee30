"""Versions, what they are for, and where they came from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from imprimatur.core.digests import Digest, Json, canonical_json, digest_of_json
from imprimatur.core.errors import BadInput


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
        return _digest_of_use(self)

    def missing(self) -> tuple[str, ...]:
        """The parts that are empty. A use is complete when there are none."""
        return tuple(name for name, value in self.document().items() if not value)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Use:
        """The use in ``document``.

        Raises BadInput ``incomplete-use``, listing what is missing, or ``bad-use`` for a part of another form.
        """
        absent = [name for name in _USE_PARTS if not document.get(name)]
        if absent:
            raise incomplete_use(absent)
        unknown = sorted(document.keys() - _USE_PARTS.keys())
        wrong = [name for name, kind in _USE_PARTS.items() if not isinstance(document[name], kind)]
        if unknown or wrong or not all(isinstance(item, str) for item in document["prohibited"]):
            found = ", ".join(wrong or unknown or ["prohibited"])
            raise BadInput(
                "bad-use",
                f"These parts of the use have another form: {found} (expected text, prohibited a list of texts)",
            )
        try:
            tier, review_by = RiskTier(document["tier"]), date.fromisoformat(document["review_by"])
        except ValueError as error:
            raise BadInput(
                "bad-use",
                f"The use has tier {document['tier']!r} and review_by {document['review_by']!r} "
                f"(expected one of {', '.join(RiskTier)} and a date as YYYY-MM-DD)",
            ) from error
        prohibited = tuple(document["prohibited"])
        texts = {name: document[name].strip() for name in ("purpose", "audience", "region", "owner")}
        return cls(prohibited=prohibited, tier=tier, review_by=review_by, **texts)


_USE_PARTS: Mapping[str, type] = {
    "purpose": str,
    "prohibited": list,
    "audience": str,
    "region": str,
    "tier": str,
    "owner": str,
    "review_by": str,
}


def incomplete_use(missing: list[str] | tuple[str, ...]) -> BadInput:
    """The error for a use with parts missing."""
    return BadInput(
        "incomplete-use",
        f"The use lacks {', '.join(missing)} (expected {', '.join(_USE_PARTS)}); nothing is submitted without them",
        missing=list(missing),
    )


class Stage(StrEnum):
    """How far along the line a version is."""

    REGISTERED = "registered"
    SEALED = "sealed"
    SUBMITTED = "submitted"
    EVALUATED = "evaluated"
    DECIDED = "decided"
    RELEASED = "released"


@lru_cache(10_000)
def _digest_of_use(use: Use) -> Digest:
    return digest_of_json(use.document())


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

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Lineage:
        """The lineage in ``document``, as somebody's MLmodel file has it.

        Raises BadInput ``bad-lineage``, also for what we don't know but would keep and could not write as JSON.
        """
        try:
            canonical_json(document)
        except BadInput as error:
            raise _bad_lineage(error.message) from error
        texts = ("run_id", "code_commit", "base_model", "device", "currency")
        numbers = ("seconds", "cost")
        wrong = [name for name in texts if not isinstance(document.get(name), str | None)]
        wrong += [name for name in numbers if not _amount(document.get(name))]
        datasets = document.get("datasets") or []
        if wrong or not isinstance(datasets, list):
            raise _bad_lineage(", ".join(wrong) or "datasets")
        return cls(
            datasets=tuple(_used_dataset(entry) for entry in datasets),
            **{name: document.get(name) for name in (*texts, *numbers)},
        )

    def missing(self) -> tuple[str, ...]:
        """The parts that an auditor would ask for and that nobody wrote down.

        >>> Lineage(run_id="r1", code_commit="c1", device="cpu", seconds=3.0, cost=0.1, currency="EUR").missing()
        ('datasets',)
        """
        optional = {"base_model"}
        return tuple(name for name, value in self.document().items() if name not in optional and value in (None, []))


def _amount(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _used_dataset(entry: Any) -> UsedDataset:
    parts = ("name", "digest", "licence")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(part), str) for part in parts):
        raise _bad_lineage("datasets")
    return UsedDataset(*(entry[part] for part in parts))


def _bad_lineage(found: str) -> BadInput:
    return BadInput(
        "bad-lineage",
        f"The lineage has parts of another form: {found} (expected text, finite numbers from 0, "
        "and datasets with name, digest and licence)",
    )


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


class AboutVersion(Protocol):
    """Anything that is about one version: a submission, a run, a decision, a release."""

    @property
    def version_id(self) -> str:
        """The version's id."""
        ...


_About = TypeVar("_About", bound=AboutVersion)


def by_version(things: Iterable[_About]) -> dict[str, list[_About]]:
    """Things by the id of the version that they are about, in the order in which they come."""
    found: dict[str, list[_About]] = {}
    for thing in things:
        found.setdefault(thing.version_id, []).append(thing)
    return found
