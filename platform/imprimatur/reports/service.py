"""Gathering the dossier of a version from the rooms that know its parts, and drawing it as a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imprimatur.access.model import Action, Principal
from imprimatur.core.digests import Digest
from imprimatur.core.errors import NotFound, Refused
from imprimatur.costs.service import Ledger
from imprimatur.datasets.model import Dataset
from imprimatur.datasets.service import Datasets
from imprimatur.evaluation.model import Evaluation, Status
from imprimatur.evaluation.service import Evaluations
from imprimatur.policy.service import Policies
from imprimatur.registry.model import Lineage, Submission, UsedDataset, Version
from imprimatur.registry.service import Registry
from imprimatur.release.model import Decision, Revocation
from imprimatur.release.service import Releases
from imprimatur.reports.document import document_of
from imprimatur.reports.html import html_of
from imprimatur.reports.markdown import markdown_of
from imprimatur.reports.model import DataUse, Dossier, Standing


class Reports:
    """What is known of versions, as dossiers and as finished reports."""

    def __init__(
        self,
        *,
        registry: Registry,
        evaluations: Evaluations,
        policies: Policies,
        releases: Releases,
        datasets: Datasets,
        ledger: Ledger,
        environments: Sequence[str],
    ) -> None:
        self._registry = registry
        self._evaluations = evaluations
        self._policies = policies
        self._releases = releases
        self._datasets = datasets
        self._ledger = ledger
        self._environments = tuple(environments)

    def dossier(self, model: str, version: int, environment: str | None = None) -> Dossier:
        """Everything about one version, as its newest decision (in ``environment``, where one is named) saw it.

        Raises NotFound ``no-such-model`` or ``no-such-version``.
        """
        return self.dossier_of(self._registry.version(model, version), environment)

    def dossier_of(self, version: Version, environment: str | None = None) -> Dossier:
        """Everything about ``version``."""
        decision = self._decision(version, environment)
        place = decision.environment if decision else environment or self._environments[-1]
        runs = self._evaluations.of_version(version.id)
        evaluation = self._evaluations.get(decision.evaluation_id) if decision else _newest_complete(runs)
        return Dossier(
            version=version,
            environment=place,
            submission=self._submission(version, decision),
            evaluation=evaluation,
            latest_run=max(runs, key=lambda run: run.requested_at, default=None),
            suite=self._evaluations.suite_of(evaluation) if evaluation else None,
            decision=decision,
            stale=self._stale(decision),
            missing=tuple(self._releases.missing(decision)) if decision else (),
            revocation=self._revocation(version),
            approvals=tuple(self._releases.approvals(decision.id)) if decision else (),
            releases=tuple(r for r in self._releases.active() if r.version_id == version.id),
            policy=self._policies.get(decision.policy_name, decision.policy_version) if decision else None,
            production=self._standing(version.model, place),
            data=self._data(version, evaluation),
            costs=self._ledger.of_version(version.model, version.version),
            currency=self._ledger.rates.currency,
        )

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

    def _decision(self, version: Version, environment: str | None) -> Decision | None:
        """The newest decision about these very bytes."""
        decisions = [
            decision
            for decision in self._releases.decisions_of(version.id)
            if decision.manifest_digest == version.manifest_digest and environment in (None, decision.environment)
        ]
        return max(decisions, key=lambda decision: decision.decided_at, default=None)

    def _submission(self, version: Version, decision: Decision | None) -> Submission | None:
        if decision is not None:
            return self._registry.submission(decision.submission_id)
        return self._registry.latest_submission(version.id)

    def _stale(self, decision: Decision | None) -> tuple[str, ...]:
        """What changed since the decision, or what forbids its version altogether, in words."""
        if decision is None:
            return ()
        try:
            return tuple(f"{what} changed since" for what in self._releases.changes(decision))
        except Refused as error:
            return (error.message,)

    def _revocation(self, version: Version) -> Revocation | None:
        return self._releases.revocation(version.manifest_digest) if version.manifest_digest else None

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

    def _data(self, version: Version, evaluation: Evaluation | None) -> tuple[DataUse, ...]:
        trained = [self._training_data(used) for used in Lineage.parse(version.lineage).datasets]
        measured = evaluation.evidence.get("datasets", {}) if evaluation else {}
        return (*trained, *(self._measuring_data(role, found) for role, found in measured.items()))

    def _training_data(self, used: UsedDataset) -> DataUse:
        return DataUse(used.name, "training", used.digest, used.licence, self._known(used.digest))

    def _measuring_data(self, role: str, digest: Digest) -> DataUse:
        known = self._known(digest)
        return DataUse(known.name if known else role, role, digest, known.licence if known else "", known)

    def _known(self, digest: Digest) -> Dataset | None:
        try:
            return self._datasets.by_digest(digest)
        except NotFound:
            return None  # a gap, which the dossier shows as one


def _newest_complete(runs: Sequence[Evaluation]) -> Evaluation | None:
    complete = [run for run in runs if run.status is Status.COMPLETE]
    return max(complete, key=lambda run: run.requested_at, default=None)
