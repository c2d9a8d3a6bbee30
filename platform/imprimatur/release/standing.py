"""What is true of a version and an environment at this moment, read in the caller's transaction."""

from __future__ import annotations

from sqlalchemy.orm import Session

from imprimatur.core.digests import Digest
from imprimatur.core.errors import NotFound, Refused
from imprimatur.evaluation import store as evaluation_store
from imprimatur.evaluation.model import Evaluation
from imprimatur.policy import store as policy_store
from imprimatur.policy.service import require_active
from imprimatur.registry import store as registry_store
from imprimatur.registry.model import Submission, Version
from imprimatur.release import rules, store
from imprimatur.release.model import Decision
from imprimatur.release.rules import Standing


def standing_of(session: Session, model: str, version: int, environment: str) -> Standing:
    """The version with its submission, its newest evaluation and the policy in force.

    Raises NotFound ``no-such-model`` and ``no-such-version``, Refused ``not-sealed``, ``revoked``, ``no-submission``
    and ``no-active-policy``.
    """
    found = _version(session, model, version)
    manifest = _require_sealed(found)
    rules.require_not_revoked(store.revocation(session, manifest), found.label)
    submission = _require_submission(registry_store.latest_submission(session, found.id), found)
    policy = require_active(policy_store.active(session, environment), environment)
    evaluation = latest_evaluation(session, found)
    return Standing(environment, found, manifest, submission, policy, evaluation.digest if evaluation else None)


def latest_evaluation(session: Session, version: Version) -> Evaluation | None:
    """The newest complete evaluation of the version, where it measured these bytes."""
    newest = evaluation_store.of_version(session, version.id, complete=True, limit=1)
    return newest[0] if newest and newest[0].manifest_digest == version.manifest_digest else None


def require_evaluation(session: Session, version: Version) -> Evaluation:
    """The newest complete evaluation of the version. Raises Refused ``no-evaluation``."""
    evaluation = latest_evaluation(session, version)
    if evaluation is None:
        raise Refused(
            "no-evaluation",
            f"{version.label} has no complete evaluation (expected one of these bytes); "
            f"run `imprimatur evaluate {version.label} --suite ...`",
        )
    return evaluation


def authors_of(session: Session, decision: Decision) -> frozenset[str]:
    """Who registered the version of a decision, and who put it forward then."""
    version = registry_store.version_by_id(session, decision.version_id)
    submission = registry_store.submission(session, decision.submission_id)
    return frozenset(
        ({version.registered_by} if version else set()) | ({submission.submitted_by} if submission else set())
    )


def _version(session: Session, model: str, version: int) -> Version:
    row = registry_store.version_row(session, model, version)
    if row is None and not registry_store.versions(session, model, limit=1, before=None):
        raise NotFound("no-such-model", f"There is no model {model!r} with versions; see `imprimatur model list`")
    if row is None:
        raise NotFound("no-such-version", f"{model!r} has no version {version}; see `imprimatur model show {model}`")
    return registry_store.version_of(row)


def _require_sealed(version: Version) -> Digest:
    if version.manifest_digest is None:
        raise Refused("not-sealed", f"{version.label} is not sealed (expected sealed bytes); seal and submit it first")
    return version.manifest_digest


def _require_submission(submission: Submission | None, version: Version) -> Submission:
    if submission is None or submission.manifest_digest != version.manifest_digest:
        raise Refused(
            "no-submission",
            f"{version.label} was not submitted for a use (expected a declared use); submit it first",
        )
    return submission
