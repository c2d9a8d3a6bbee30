"""Gathering what is known of versions from the rooms that know its parts, and drawing it as a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from imprimatur.access.model import Action, Principal
from imprimatur.core.database import Database
from imprimatur.core.digests import Digest
from imprimatur.core.errors import NotFound
from imprimatur.costs.service import Ledger
from imprimatur.datasets.model import Dataset
from imprimatur.datasets.service import Datasets
from imprimatur.evaluation.model import Evaluation, Status
from imprimatur.evaluation.service import Evaluations
from imprimatur.policy.service import Policies
from imprimatur.registry.model import Lineage, Submission, Version
from imprimatur.registry.service import Registry
from imprimatur.release.model import Decision, DecisionStatus, Release
from imprimatur.release.service import Releases
from imprimatur.reports.document import document_of
from imprimatur.reports.html import html_of
from imprimatur.reports.markdown import markdown_of
from imprimatur.reports.model import Brief, DataUse, Dossier, Standing

_UNDECIDED = DecisionStatus((), (), (), frozenset())
_OfVersion = TypeVar("_OfVersion", Decision, Evaluation, Submission, Release)


class Reports:
    """What is known of versions: in brief, as dossiers and as finished reports."""

    def __init__(
        self,
        *,
        database: Database,
        registry: Registry,
        evaluations: Evaluations,
        policies: Policies,
        releases: Releases,
        datasets: Datasets,
        ledger: Ledger,
        environments: Sequence[str],
    ) -> None:
        self._database = database
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
        with self._database.view():
            return self._dossier(version, environment)

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

        Their evaluations come without evidence, their decisions without envelopes.
        """
        with self._database.view():
            return self._briefs(versions, environment, whole=False)

    def _briefs(self, versions: Sequence[Version], environment: str | None, *, whole: bool) -> list[Brief]:
        ids = [version.id for version in versions]
        made = _by_version(self._releases.decisions_of_versions(ids, envelopes=whole))
        decisions = {version.id: _decision(version, made.get(version.id, ()), environment) for version in versions}
        statuses = self._releases.statuses([decision for decision in decisions.values() if decision])
        runs = _by_version(self._evaluations.of_versions(ids, evidence=whole))
        submissions = _by_version(self._registry.submissions_of(ids))
        releases = _by_version(self._releases.active({version.model for version in versions}))
        revoked = self._releases.revocations([each.manifest_digest for each in versions if each.manifest_digest])
        policy = cache(self._policies.get)

        def brief(version: Version) -> Brief:
            decision = decisions[version.id]
            status = statuses[decision.id] if decision else _UNDECIDED
            of_this = runs.get(version.id, ())
            return Brief(
                version=version,
                submission=_submission(submissions.get(version.id, ()), decision),
                evaluation=self._evaluated(decision, of_this),
                latest_run=max(of_this, key=lambda run: run.requested_at, default=None),
                decision=decision,
                policy=policy(decision.policy_name, decision.policy_version) if decision else None,
                stale=status.stale,
                missing=status.missing,
                approvals=status.answers,
                authors=status.authors,
                releases=tuple(releases.get(version.id, ())),
                revocation=revoked.get(version.manifest_digest or ""),
            )

        return [brief(version) for version in versions]

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


def _decision(version: Version, decisions: Sequence[Decision], environment: str | None) -> Decision | None:
    """The newest decision about these very bytes."""
    about = [
        decision
        for decision in decisions
        if decision.manifest_digest == version.manifest_digest and environment in (None, decision.environment)
    ]
    return max(about, key=lambda decision: decision.decided_at, default=None)


def _submission(submissions: Sequence[Submission], decision: Decision | None) -> Submission | None:
    """The submission that was decided on; without a decision the newest."""
    if decision is not None:
        return next((one for one in submissions if one.id == decision.submission_id), None)
    return submissions[0] if submissions else None


def _by_version(things: Iterable[_OfVersion]) -> dict[str, list[_OfVersion]]:
    """Things by the id of the version that they are about, in the order in which they come."""
    found: dict[str, list[_OfVersion]] = {}
    for thing in things:
        found.setdefault(thing.version_id, []).append(thing)
    return found


def _newest_complete(runs: Sequence[Evaluation]) -> Evaluation | None:
    complete = [run for run in runs if run.status is Status.COMPLETE]
    return max(complete, key=lambda run: run.finished_at or run.requested_at, default=None)
