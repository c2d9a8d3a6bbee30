"""Everything that is known of one version, gathered for people: in brief, and as a dossier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imprimatur.core.digests import Digest
from imprimatur.costs.model import Kind
from imprimatur.datasets.model import Dataset
from imprimatur.evaluation.model import Evaluation, Suite
from imprimatur.policy.model import Policy
from imprimatur.registry.model import Stage, Submission, Version
from imprimatur.release.model import Answer, Approval, Decision, Release, Revocation


@dataclass(frozen=True)
class DataUse:
    """A dataset that a version rests on, and what is not known about it."""

    name: str
    role: str
    digest: Digest
    licence: str
    known: Dataset | None

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is missing, in words; empty where nothing is."""
        gaps = [] if self.licence else ["licence not stated"]
        if self.known is None:
            return (*gaps, "not in the catalogue: owner and source unknown")
        gaps += [f"{what} not stated" for what in ("owner", "source") if not getattr(self.known, what)]
        return (*gaps, *(f"expectation not met: {name}" for name in self.known.failed))


@dataclass(frozen=True)
class Standing:
    """What stands in an environment now, with the decision and the evaluation that brought it there."""

    release: Release
    version: Version
    decision: Decision
    evaluation: Evaluation


@dataclass(frozen=True)
class Brief:
    """One version and how far it has come. ``evaluation`` is the one that ``decision`` rests on.

    ``stale`` says what changed since the decision, so that it does not apply any more; ``policy`` is what decided;
    ``latest_run`` is the newest run, complete or not; ``authors`` can't answer the decision.
    """

    version: Version
    submission: Submission | None
    evaluation: Evaluation | None
    latest_run: Evaluation | None
    decision: Decision | None
    policy: Policy | None
    stale: tuple[str, ...]
    missing: tuple[str, ...]
    approvals: tuple[Approval, ...]
    authors: frozenset[str]
    releases: tuple[Release, ...]
    revocation: Revocation | None

    @property
    def stage(self) -> Stage:
        """How far along the line the version is."""
        if self.releases:
            return Stage.RELEASED
        if self.decision is not None:
            return Stage.DECIDED
        if self.evaluation is not None:
            return Stage.EVALUATED
        if self.submission is not None:
            return Stage.SUBMITTED
        return Stage.REGISTERED if self.version.manifest_digest is None else Stage.SEALED

    @property
    def environments(self) -> tuple[str, ...]:
        """Where the version stands now."""
        return tuple(release.environment for release in self.releases)

    @property
    def rejection(self) -> Approval | None:
        """The answer that stops the decision, where somebody gave one."""
        return next((answer for answer in self.approvals if answer.answer is Answer.REJECT), None)


@dataclass(frozen=True)
class Dossier(Brief):
    """One version with all that was done about it.

    ``production`` is what stands in ``environment``, the decision's, this version itself included.
    """

    environment: str
    suite: Suite | None
    production: Standing | None
    data: tuple[DataUse, ...]
    costs: Mapping[Kind, float]
    currency: str

    @property
    def is_in_production(self) -> bool:
        """Whether this very version stands in the environment that the dossier is about."""
        return self.production is not None and self.production.version.id == self.version.id
