"""What an import is about: a version's past, what of it is taken over, and how each part ended."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from imprimatur.core.clock import iso
from imprimatur.core.digests import Digest, Json, digest_of_json, short

APPROVED_ALIASES = ("production", "champion")
"""Aliases that said "this one serves" in a registry without law, unless the caller names others."""

_APPROVED_STAGES = frozenset({"production", "staging"})


class Mark(StrEnum):
    """What a version's past was. No rule reads it: it neither satisfies a policy nor releases anything."""

    APPROVED_BEFORE = "approved before Imprimatur"
    NOT_EVALUATED = "not yet evaluated"


def mark_of(stage: str, aliases: Collection[str], approved: Collection[str] = APPROVED_ALIASES) -> Mark:
    """The mark of a version that held ``stage`` and ``aliases`` in its source.

    >>> mark_of("None", ["Champion"]).value, mark_of("Archived", ["candidate"]).value
    ('approved before Imprimatur', 'not yet evaluated')
    """
    held = {alias.casefold() for alias in aliases}
    if stage.casefold() in _APPROVED_STAGES or held & {alias.casefold() for alias in approved}:
        return Mark.APPROVED_BEFORE
    return Mark.NOT_EVALUATED


@dataclass(frozen=True)
class VersionKey:
    """Which version of which source: ``created_at``, in milliseconds since 1970, tells a re-created one apart."""

    source: str
    model: str
    version: int
    created_at: int

    def document(self) -> Mapping[str, Json]:
        """The key as JSON."""
        return {
            "source": self.source,
            "model": self.model,
            "version": self.version,
            "created_at": self.created_at,
        }

    @property
    def digest(self) -> Digest:
        """The digest of the key's JSON, by which an import knows the version again."""
        return digest_of_json(self.document())

    @property
    def folder(self) -> str:
        """Where in a run of ours the version's files go: a place that no other version has."""
        return f"imported/{short(self.digest)}"


@dataclass(frozen=True)
class ImportedVersion:
    """Where a version of ours came from, and what it was there, as the import found it."""

    key: VersionKey
    version_id: str
    stage: str
    aliases: tuple[str, ...]
    mark: Mark
    imported_by: str
    imported_at: datetime

    def document(self) -> dict[str, Json]:
        """The import as JSON."""
        return {
            **self.key.document(),
            "stage": self.stage,
            "aliases": list(self.aliases),
            "mark": self.mark.value,
            "imported_by": self.imported_by,
            "imported_at": iso(self.imported_at),
        }


@dataclass(frozen=True)
class KnownRun:
    """A run of ours that an earlier import made; one that has not ended may be a crash's, or goes on in the source."""

    run: str
    ended: bool


@dataclass(frozen=True)
class KnownVersion:
    """A version of ours that an earlier import made."""

    model: str
    version: int
    sealed: bool
    mark: Mark

    @property
    def label(self) -> str:
        """``model/version``, as people and commands name it."""
        return f"{self.model}/{self.version}"


@dataclass(frozen=True)
class SourceExperiment:
    """An experiment of the source."""

    id: str
    name: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class SourceRun:
    """A run of the source. Times are milliseconds since 1970; of metrics only the names are known yet."""

    id: str
    name: str
    status: str
    started_at: int
    ended_at: int | None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceModel:
    """A registered model of the source, with the version that each alias points at."""

    name: str
    description: str
    tags: Mapping[str, str]
    aliases: Mapping[str, int]

    def aliases_of(self, version: int) -> tuple[str, ...]:
        """The aliases of one version, sorted."""
        return tuple(sorted(alias for alias, held_by in self.aliases.items() if held_by == version))


@dataclass(frozen=True)
class SourceVersion:
    """A version of the source, and where its files are; ``run_id`` is empty where it came from no run."""

    key: VersionKey
    location: str
    run_id: str
    stage: str
    description: str
    tags: Mapping[str, str]

    @property
    def label(self) -> str:
        """``model/version``, as the source has it."""
        return f"{self.key.model}/{self.key.version}"


class Outcome(StrEnum):
    """How an import ended for one version."""

    IMPORTED = "imported"
    ALREADY_THERE = "already there"
    UNSEALABLE = "imported but can't be sealed"
    FAILED = "failed"


@dataclass(frozen=True)
class VersionReport:
    """What became of one version. ``code`` and ``message`` say why it can't be sealed, or failed."""

    source: str
    outcome: Outcome
    imported_as: str | None = None
    mark: Mark | None = None
    sealed: bool = False
    left_out: tuple[str, ...] = ()
    code: str | None = None
    message: str | None = None

    def document(self) -> dict[str, Json]:
        """The report as JSON."""
        return {
            "source": self.source,
            "outcome": self.outcome.value,
            "imported_as": self.imported_as,
            "mark": self.mark and self.mark.value,
            "sealed": self.sealed,
            "left_out": list(self.left_out),
            "code": self.code,
            "message": self.message,
        }


@dataclass(frozen=True)
class Failure:
    """An experiment, run or model that could not be taken in."""

    name: str
    code: str
    message: str

    def document(self) -> dict[str, Json]:
        """The failure as JSON."""
        return {"name": self.name, "code": self.code, "message": self.message}


@dataclass
class Tally:
    """What an import did so far."""

    experiments: int = 0
    runs_imported: int = 0
    runs_known: int = 0
    versions: list[VersionReport] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether anything could not be taken in."""
        return bool(self.failures) or any(version.outcome is Outcome.FAILED for version in self.versions)

    def document(self, source: str) -> dict[str, Json]:
        """The tally as JSON."""
        return {
            "source": source,
            "experiments": self.experiments,
            "runs": {"imported": self.runs_imported, "already_there": self.runs_known},
            "versions": [version.document() for version in self.versions],
            "failures": [failure.document() for failure in self.failures],
        }
