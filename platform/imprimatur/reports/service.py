"""Gathering the dossier of a version from the rooms that know its parts, and drawing it as a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from imprimatur.access.model import Action, Principal
from imprimatur.core.digests import Digest
from imprimatur.core.errors import NotFound
from imprimatur.costs.model import Kind
from imprimatur.costs.service import Ledger
from imprimatur.datasets.model import Dataset
from imprimatur.datasets.service import Datasets
from imprimatur.evaluation.model import Evaluation, Status, Suite
from imprimatur.evaluation.service import Evaluations
from imprimatur.policy.model import Policy
from imprimatur.policy.service import Policies
from imprimatur.registry.model import Lineage, Submission, Version
from imprimatur.registry.service import Registry
from imprimatur.release.model import Decision, DecisionStatus, Release, Revocation
from imprimatur.release.service import Releases
from imprimatur.reports.document import document_of
from imprimatur.reports.html import html_of
from imprimatur.reports.markdown import markdown_of
from imprimatur.reports.model import DataUse, Dossier, Standing

_UNDECIDED = DecisionStatus((), (), ())
_OfVersion = TypeVar("_OfVersion", Decision, Evaluation, Submission, Release)


@dataclass(frozen=True)
class _Gathered:
    """What several dossiers need, read once: by the version's id, costs by its model and number."""

    decisions: Mapping[str, Decision]
    runs: Mapping[str, Sequence[Evaluation]]
    submissions: Mapping[str, Sequence[Submission]]
    releases: Mapping[str, Sequence[Release]]
    costs: Mapping[tuple[str, int], Mapping[Kind, float]]
    statuses: Mapping[str, DecisionStatus]
    revocations: Mapping[Digest, Revocation]
    standing: Callable[[str, str], Standing | None]
    suite: Callable[[Digest], Suite]
    policy: Callable[[str, int], Policy]
    dataset: Callable[[Digest], Dataset | None]


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
        return self._dossier(version, self._gather([version], environment), environment)

    def dossiers_of(self, versions: Sequence[Version]) -> list[Dossier]:
        """Everything about several versions, read together."""
        gathered = self._gather(versions)
        return [self._dossier(version, gathered, None) for version in versions]

    def _gather(self, versions: Sequence[Version], environment: str | None = None) -> _Gathered:
        ids = [version.id for version in versions]
        active = self._releases.active()
        made = _by_version(self._releases.decisions_of_versions(ids))
        newest = {version.id: _decision(version, made.get(version.id, ()), environment) for version in versions}
        decisions = {version_id: decision for version_id, decision in newest.items() if decision is not None}
        return _Gathered(
            decisions=decisions,
            runs=_by_version(self._evaluations.of_versions(ids)),
            submissions=_by_version(self._registry.submissions_of(ids)),
            releases=_by_version(active),
            costs=self._ledger.of_versions([(version.model, version.version) for version in versions]),
            statuses=self._releases.statuses(decisions.values()),
            revocations=self._releases.revocations([each.manifest_digest for each in versions if each.manifest_digest]),
            standing=cache(lambda model, place: self._standing(active, model, place)),
            suite=cache(self._evaluations.suite_of),
            policy=cache(self._policies.get),
            dataset=cache(self._known),
        )

    def _dossier(self, version: Version, gathered: _Gathered, environment: str | None) -> Dossier:
        decision = gathered.decisions.get(version.id)
        status = gathered.statuses[decision.id] if decision else _UNDECIDED
        place = decision.environment if decision else environment or self._environments[-1]
        runs = gathered.runs.get(version.id, ())
        evaluation = self._evaluated(decision, runs)
        return Dossier(
            version=version,
            environment=place,
            submission=_submission(gathered.submissions.get(version.id, ()), decision),
            evaluation=evaluation,
            latest_run=max(runs, key=lambda run: run.requested_at, default=None),
            suite=gathered.suite(evaluation.suite_digest) if evaluation else None,
            decision=decision,
            stale=status.stale,
            missing=status.missing,
            revocation=gathered.revocations.get(version.manifest_digest or ""),
            approvals=status.answers,
            releases=tuple(gathered.releases.get(version.id, ())),
            policy=gathered.policy(decision.policy_name, decision.policy_version) if decision else None,
            production=gathered.standing(version.model, place),
            data=_data(version, evaluation, gathered.dataset),
            costs=gathered.costs[version.model, version.version],
            currency=self._ledger.rates.currency,
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

    def _standing(self, active: Sequence[Release], model: str, environment: str) -> Standing | None:
        release = next((one for one in active if (one.model, one.environment) == (model, environment)), None)
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
    return max(complete, key=lambda run: run.requested_at, default=None)
