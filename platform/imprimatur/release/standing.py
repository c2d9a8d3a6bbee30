"""What is true of versions and environments at this moment, read in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from imprimatur.core.digests import Digest
from imprimatur.core.errors import NotFound, Refused
from imprimatur.evaluation import store as evaluation_store
from imprimatur.evaluation.model import Evaluation
from imprimatur.policy import store as policy_store
from imprimatur.policy.model import Policy
from imprimatur.policy.service import require_active
from imprimatur.registry import store as registry_store
from imprimatur.registry.model import Submission, Version, by_version
from imprimatur.release import rules, store
from imprimatur.release.model import Decision, Revocation
from imprimatur.release.rules import Standing

BaseOf = Callable[[Digest], Digest | None]
"""Finds the manifest of the base that a sealed adapter needs; None for everything else."""


@dataclass(frozen=True)
class Circumstances:
    """What is true now of some living versions, by ``(model, number)``, and of some environments.

    By the version's id, ``submissions`` are all of them, newest first, ``authors`` all who registered it or ever put
    it forward, and ``measured`` the newest evaluation.
    """

    versions: Mapping[tuple[str, int], Version]
    models: Collection[str]
    submissions: Mapping[str, Sequence[Submission]]
    authors: Mapping[str, frozenset[str]]
    measured: Mapping[str, evaluation_store.Measured]
    policies: Mapping[str, Policy | None]
    bases: Mapping[Digest, Digest | None]
    revocations: Mapping[Digest, Revocation]

    @classmethod
    def read(
        cls,
        session: Session,
        asked: Collection[tuple[str, int]],
        environments: Collection[str],
        base_of: BaseOf,
        known: Iterable[Version] = (),
    ) -> Circumstances:
        """Everything that the standing of the versions that are ``asked`` for depends on, in a few queries.

        ``known`` are living versions that the caller has just read, so that they need not be read again.
        """
        versions = {(each.model, each.version): each for each in known if (each.model, each.version) in asked}
        further = [label for label in asked if label not in versions]
        rows = registry_store.named(session, further) if further else ()
        versions |= {(row.model, row.version): registry_store.version_of(row) for row in rows}
        ids = [version.id for version in versions.values()]
        bases = {
            each.manifest_digest: base_of(each.manifest_digest) for each in versions.values() if each.manifest_digest
        }
        served = [digest for digest in (*bases, *bases.values()) if digest is not None]
        submissions = registry_store.submissions_of(session, ids)
        unknown = {model for model, number in asked if (model, number) not in versions}
        return cls(
            versions=versions,
            models=registry_store.having_versions(session, unknown) if unknown else (),
            submissions=by_version(submissions),
            authors=_authors({each.id: each.registered_by for each in versions.values()}, submissions),
            measured=evaluation_store.newest_measured(session, ids),
            policies={place: policy_store.active(session, place) for place in environments},
            bases=bases,
            revocations={each.manifest_digest: each for each in store.revocations(session, served)},
        )

    def standing(self, model: str, number: int, environment: str) -> Standing:
        """The version with its submission, its newest evaluation and the policy in force.

        Raises NotFound ``no-such-model`` and ``no-such-version``, Refused ``not-sealed``, ``revoked`` (also for an
        adapter's base), ``no-submission`` and ``no-active-policy``.
        """
        version = self._version(model, number)
        manifest = _require_sealed(version)
        base = self.bases[manifest]
        rules.require_not_revoked(self.revocations.get(manifest), version.label)
        if base is not None:
            rules.require_not_revoked(self.revocations.get(base), f"The base of {version.label}")
        submission = _require_submission(self.submissions.get(version.id, ()), version)
        policy = require_active(self.policies[environment], environment)
        measured = self.measured.get(version.id)
        evaluation = measured.digest if measured and measured.manifest == manifest else None
        return Standing(environment, version, manifest, submission, policy, evaluation)

    def _version(self, model: str, number: int) -> Version:
        found = self.versions.get((model, number))
        if found is None and model not in self.models:
            raise NotFound("no-such-model", f"There is no model {model!r} with versions; see `imprimatur model list`")
        if found is None:
            raise NotFound("no-such-version", f"{model!r} has no version {number}; see `imprimatur model show {model}`")
        return found


def require_evaluation(session: Session, version: Version) -> Evaluation:
    """The newest complete evaluation of the version, if of these bytes. Raises Refused ``no-evaluation``."""
    newest = evaluation_store.of_version(session, version.id, complete=True, limit=1)
    if not newest or newest[0].manifest_digest != version.manifest_digest:
        raise Refused(
            "no-evaluation",
            f"{version.label} has no complete evaluation (expected one of these bytes); "
            f"run `imprimatur evaluate {version.label} --suite ...`",
        )
    return newest[0]


def authors_of(
    session: Session, decisions: Collection[Decision], known: Mapping[str, frozenset[str]] | None = None
) -> dict[str, frozenset[str]]:
    """Who registered the version of each decision, living or not, and everybody who ever put it forward; by decision.

    Whoever put a version forward once is no second pair of eyes, though somebody else did so again since. ``known``
    are the authors of versions, by id, that need not be read again.
    """
    authors = dict(known or {})
    further = {decision.version_id for decision in decisions} - authors.keys()
    if further:
        submissions = registry_store.submissions_of(session, further)
        authors |= _authors(registry_store.registered_by(session, further), submissions)
    return {decision.id: authors[decision.version_id] for decision in decisions}


def _authors(registered: Mapping[str, str], submissions: Iterable[Submission]) -> dict[str, frozenset[str]]:
    """Everybody behind some versions, by the version's id."""
    authors = {version_id: {person} for version_id, person in registered.items()}
    for submission in submissions:
        authors[submission.version_id].add(submission.submitted_by)
    return {version_id: frozenset(people) for version_id, people in authors.items()}


def _require_sealed(version: Version) -> Digest:
    if version.manifest_digest is None:
        raise Refused("not-sealed", f"{version.label} is not sealed (expected sealed bytes); seal and submit it first")
    return version.manifest_digest


def _require_submission(submissions: Sequence[Submission], version: Version) -> Submission:
    """The newest, if of these bytes."""
    if not submissions or submissions[0].manifest_digest != version.manifest_digest:
        raise Refused(
            "no-submission",
            f"{version.label} was not submitted for a use (expected a declared use); submit it first",
        )
    return submissions[0]
