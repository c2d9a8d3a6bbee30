"""Gathering what is known of versions from the rooms that know its parts, and drawing it as a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from imprimatur.access.model import Action, Principal
from imprimatur.core.database import Database
from imprimatur.core.digests import Digest
from imprimatur.core.errors import NotFound
from imprimatur.costs.service import Ledger
from imprimatur.datasets.model import Dataset
from imprimatur.datasets.service import Datasets
from imprimatur.evaluation.model import Evaluation, Status
from imprimatur.evaluation.service import Evaluations
from imprimatur.registry.model import Lineage, Version, by_version
from imprimatur.registry.service import Registry
from imprimatur.release.model import Course, Decision
from imprimatur.release.service import Releases
from imprimatur.reports.document import document_of
from imprimatur.reports.html import html_of
from imprimatur.reports.markdown import markdown_of
from imprimatur.reports.model import Brief, DataUse, Dossier, Standing


class Reports:
    """What is known of versions: in brief, as dossiers and as finished reports."""

    def __init__(
        self,
        *,
        database: Database,
        registry: Registry,
        evaluations: Evaluations,
        releases: Releases,
        datasets: Datasets,
        ledger: Ledger,
        environments: Sequence[str],
    ) -> None:
        self._database = database
        self._registry = registry
        self._evaluations = evaluations
        self._releases = releases
        self._datasets = datasets
        self._ledger = ledger
        self._environments = tuple(environments)

    def dossier(self, model: str, version: int, environment: str | None = None) -> Dossier:
        """Everything about one version, as its newest decision (in ``environment``, where one is named) saw it.

        Raises NotFound ``no-such-model`` or ``no-such-version``.
        """
        with self._database.view():
            return self._dossier(self._registry.version(model, version), environment)

    def _dossier(self, version: Version, environment: str | None) -> Dossier:
        brief = self._briefs([version], environment, whole=True)[0]
        place = brief.decision.environment if brief.decision else environment or self._environments[-1]
        evaluation = brief.evaluation
        return Dossier(
            **vars(brief),
            environment=place,
            suite=self._evaluations.suite_of(evaluation.suite_digest) if evaluation else None,
            production=self._standing(version.model, place),
            data=_data(version, evaluation, self._known),
            costs=self._ledger.of_versions([(version.model, version.version)])[version.model, version.version],
            currency=self._ledger.rates.currency,
        )

    def briefs_of(self, versions: Sequence[Version], environment: str | None = None) -> list[Brief]:
        """How far several versions have come (towards ``environment``, where one is named), read together.

        Their evaluations come without scores and evidence, their decisions without facts and envelopes.
        """
        with self._database.view():
            return self._briefs(versions, environment, whole=False)

    def scored(self, briefs: Sequence[Brief]) -> list[Brief]:
        """Some briefs of measured versions with the scores of their evaluations; others are left out."""
        measured = [(brief, brief.evaluation) for brief in briefs if brief.evaluation is not None]
        runs = self._evaluations.scored([run for _, run in measured])
        return [replace(brief, evaluation=run) for (brief, _), run in zip(measured, runs, strict=True)]

    def _briefs(self, versions: Sequence[Version], environment: str | None, *, whole: bool) -> list[Brief]:
        runs = by_version(self._evaluations.of_versions([version.id for version in versions], whole=whole))
        courses = self._releases.courses(versions, environment, whole=whole)
        return [
            self._brief(version, course, runs.get(version.id, ()))
            for version, course in zip(versions, courses, strict=True)
        ]

    def _brief(self, version: Version, course: Course, runs: Sequence[Evaluation]) -> Brief:
        return Brief(
            version=version,
            submission=course.submission,
            evaluation=self._evaluated(course.decision, runs),
            latest_run=max(runs, key=lambda run: run.requested_at, default=None),
            decision=course.decision,
            policy=course.policy,
            stale=course.status.stale,
            missing=course.status.missing,
            approvals=course.status.answers,
            authors=course.status.authors,
            releases=course.releases,
            revocation=course.revocation,
        )

    def _evaluated(self, decision: Decision | None, runs: Sequence[Evaluation]) -> Evaluation | None:
        """The run that the decision rests on; without a decision the newest that is complete."""
        if decision is None:
            return _newest_complete(runs)
        known = next((run for run in runs if run.id == decision.evaluation_id), None)
        return known or self._evaluations.get(decision.evaluation_id)

    def document(self, actor: Principal, model: str, version: int) -> Mapping[str, Any]:
        """The report of a version as a JSON document."""
        actor.require(Action.READ)
        return document_of(self.dossier(model, version))

    def markdown(self, actor: Principal, model: str, version: int) -> str:
        """The report of a version as Markdown."""
        actor.require(Action.READ)
        return markdown_of(self.dossier(model, version))

    def html(self, actor: Principal, model: str, version: int) -> str:
        """The report of a version as one HTML file that needs no other file, its images within it."""
        actor.require(Action.READ)
        return html_of(self.dossier(model, version), self._evaluations.evidence_image)

    def _standing(self, model: str, environment: str) -> Standing | None:
        release = self._releases.current(model, environment)
        if release is None:
            return None
        decision = self._releases.decision(release.decision_id)
        return Standing(
            release,
            self._registry.version_by_id(release.version_id),
            decision,
            self._evaluations.get(decision.evaluation_id),
        )

    def _known(self, digest: Digest) -> Dataset | None:
        try:
            return self._datasets.by_digest(digest)
        except NotFound:
            return None  # a gap, which the dossier shows as one


def _data(
    version: Version, evaluation: Evaluation | None, known: Callable[[Digest], Dataset | None]
) -> tuple[DataUse, ...]:
    """Datasets that the version was trained on, then those that its evaluation measured against."""
    trained = [
        DataUse(used.name, "training", used.digest, used.licence, known(used.digest))
        for used in Lineage.parse(version.lineage).datasets
    ]
    measured = evaluation.evidence.get("datasets", {}) if evaluation else {}
    return (*trained, *(_measuring(role, digest, known(digest)) for role, digest in measured.items()))


def _measuring(role: str, digest: Digest, known: Dataset | None) -> DataUse:
    return DataUse(known.name if known else role, role, digest, known.licence if known else "", known)


def _newest_complete(runs: Sequence[Evaluation]) -> Evaluation | None:
    complete = [run for run in runs if run.status is Status.COMPLETE]
    return max(complete, key=lambda run: run.finished_at or run.requested_at, default=None)
