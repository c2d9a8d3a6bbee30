"""The case of a decision: everything that it rests on, and the facts that the policy may look at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from imprimatur.core.digests import Digest
from imprimatur.datasets.model import Dataset
from imprimatur.evaluation.model import Evaluation, Suite
from imprimatur.policy.model import Bounds, Facts, Plain, Policy
from imprimatur.registry.adapter import sealed_base
from imprimatur.registry.layout import PIPELINE_FOLDER
from imprimatur.registry.model import Lineage, Submission, Version
from imprimatur.registry.stock import INDEX_NAME
from imprimatur.release.model import Decision
from imprimatur.storage.model import Manifest
from imprimatur.storage.service import SealedStore
from imprimatur_evaluators.spec import Direction, Score

_NO_WEIGHTS = frozenset(
    {"", ".json", ".txt", ".md", ".yaml", ".yml", ".jinja", ".model", ".png", ".jpg", ".jpeg", ".webp"}
)
"""Suffixes of files that hold no weights: configuration, vocabularies, words. Every other file counts as weights."""


@dataclass(frozen=True)
class Case:
    """What one decision is about and rests on."""

    environment: str
    version: Version
    manifest: Digest
    submission: Submission
    evaluation: Evaluation
    policy: Policy
    facts: Facts


@dataclass(frozen=True)
class Data:
    """Datasets that a version was trained on or measured against; licences as they were stated, empty where not."""

    names: tuple[str, ...]
    licences: tuple[str, ...]
    failed: int


def facts_of(
    version: Version,
    submission: Submission,
    manifest: Manifest,
    pipeline: str | None,
    evaluation: Evaluation,
    suite: Suite,
    data: Data,
    predecessor: Decision | None,
) -> Facts:
    """The facts about one sealed version. ``predecessor`` is the decision on what stands in the environment now."""
    scores = {score.name: _bounds(score) for score in evaluation.scores}
    plain = {
        **_about_model(version, manifest, pipeline),
        **_about_use(submission),
        **_about_evaluation(evaluation, suite),
        **_about_data(data),
        "model.has_predecessor": predecessor is not None,
        "submitter": submission.submitted_by,
    }
    return Facts(plain, scores, _deltas(scores, predecessor))


def data_of(version: Version, evaluation: Evaluation, known: Sequence[Dataset]) -> Data:
    """The training data that the lineage names and the data of the evaluation, with what is known of each.

    ``known`` is every dataset, newest first; of several under one digest the newest says what its licence is.
    Data of the evaluation that nobody knows any more has no licence.
    """
    by_digest = {dataset.digest: dataset for dataset in reversed(known)}
    trained = Lineage.parse(version.lineage).datasets
    measured: Mapping[str, Digest] = evaluation.evidence["datasets"]
    used = {dataset.digest: (dataset.name, dataset.licence) for dataset in trained}
    for role, digest in measured.items():
        dataset = by_digest.get(digest)
        used[digest] = (dataset.name, dataset.licence) if dataset else (role, "")
    return Data(
        names=tuple(sorted(name for name, _ in used.values())),
        licences=tuple(sorted(licence for _, licence in used.values())),
        failed=sum(len(by_digest[digest].failed) for digest in used if digest in by_digest),
    )


def pipeline_of(manifest: Manifest, sealed: SealedStore) -> str | None:
    """The class that the sealed ``model_index.json`` names, an adapter's base's; None where there is none."""
    manifest = sealed_base(sealed, manifest) or manifest
    for path in (INDEX_NAME, f"{PIPELINE_FOLDER}/{INDEX_NAME}"):
        for file in manifest.files:
            if file.path == path:
                name = json.loads(sealed.read_blob(file.digest)).get("_class_name")
                return name if isinstance(name, str) else None
    return None


def _about_model(version: Version, manifest: Manifest, pipeline: str | None) -> dict[str, Plain]:
    missing = Lineage.parse(version.lineage).missing()
    paths = tuple(file.path for file in manifest.files)
    return {
        "model.name": version.model,
        "model.version": version.version,
        "model.files": paths,
        "model.weight_files": tuple(path for path in paths if PurePosixPath(path).suffix not in _NO_WEIGHTS),
        "model.bytes": manifest.size,
        "model.has_lineage": not missing,
        "model.missing_lineage": missing,
        **({"model.pipeline": pipeline} if pipeline else {}),
    }


def _about_use(submission: Submission) -> dict[str, Plain]:
    use = submission.use
    return {
        "use.purpose": use.purpose,
        "use.prohibited": use.prohibited,
        "use.audience": use.audience,
        "use.region": use.region,
        "use.tier": use.tier.value,
        "use.owner": use.owner,
        "use.review_by": use.review_by.isoformat(),
    }


def _about_evaluation(evaluation: Evaluation, suite: Suite) -> dict[str, Plain]:
    return {
        "eval.status": evaluation.status.value,
        "eval.images": evaluation.total,
        "eval.suite": suite.name,
        "eval.suite_version": suite.version,
        "eval.backbone": suite.backbone,
        "eval.seed": evaluation.seed,
        "eval.steps": suite.steps,
        "eval.guidance": float(suite.guidance),
        "eval.build": evaluation.build,
    }


def _about_data(data: Data) -> dict[str, Plain]:
    return {
        "data.names": data.names,
        "data.licences": tuple(licence for licence in data.licences if licence.strip()),
        "data.missing_licences": sum(not licence.strip() for licence in data.licences),
        "data.failed_expectations": data.failed,
    }


def _bounds(score: Score) -> Bounds:
    return Bounds(
        float(score.value),
        float(score.ci_low),
        float(score.ci_high),
        score.n,
        score.direction is Direction.LOWER,
    )


def _deltas(scores: Mapping[str, Bounds], predecessor: Decision | None) -> dict[str, Bounds]:
    """Differences to what the predecessor's decision rested on; their intervals reach from end to end."""
    if predecessor is None:
        return {}
    before: dict[str, Any] = {name: predecessor.facts.get(f"score.{name}") for name in scores}
    return {name: _difference(scores[name], old) for name, old in before.items() if old is not None}


def _difference(new: Bounds, old: Mapping[str, Any]) -> Bounds:
    return Bounds(
        new.value - float(old["value"]),
        new.ci_low - float(old["ci_high"]),
        new.ci_high - float(old["ci_low"]),
        min(new.n, int(old["n"])),
        new.lower_is_better,
    )
