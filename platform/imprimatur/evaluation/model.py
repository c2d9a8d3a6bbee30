"""Suites, evaluation runs and their evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from imprimatur.core.digests import Digest, Json, digest_of_json
from imprimatur_evaluators.spec import Score

MOST_TAKEOVERS = 5
"""How often a run is taken over from a worker that died before it is given up."""


class Status(StrEnum):
    """Where an evaluation run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


class Role(StrEnum):
    """What a suite needs a dataset for; each role takes the dataset kind of the same name."""

    PROMPTS = "prompts"
    REFERENCE = "reference"
    CALIBRATION = "calibration"
    PROTECTED = "protected"


@dataclass(frozen=True)
class ImageSet:
    """Images to generate: ``per_prompt`` for each prompt of ``group``."""

    name: str
    group: str
    per_prompt: int


@dataclass(frozen=True)
class Metric:
    """One metric of a suite, on one image set and one backbone, with its options; ``name`` is that of its score."""

    name: str
    images: str
    options: Mapping[str, Json]
    statistic: str
    backbone: str


@dataclass(frozen=True)
class Suite:
    """What is generated and measured, and against which data. ``digest`` is that of the document's canonical JSON.

    ``batch`` images of one prompt are generated at a time; they are one shard of the work.
    """

    name: str
    version: int
    digest: Digest
    backbone: str
    steps: int
    guidance: float
    batch: int
    datasets: Mapping[str, str]
    sets: tuple[ImageSet, ...]
    metrics: tuple[Metric, ...]
    document: Mapping[str, Json]

    @property
    def backbones(self) -> tuple[str, ...]:
        """The names of all backbones that some metric needs."""
        return tuple(sorted({metric.backbone for metric in self.metrics}))


@dataclass(frozen=True)
class Evaluation:
    """One run of a suite on one sealed manifest. ``digest`` covers inputs, scores and evidence once it is complete.

    ``done`` of ``total`` images are generated; ``seconds`` counts the work of every worker that had the
    run in hand, ``attempts`` how many there were; ``worker`` is the last of them.
    """

    id: str
    version_id: str
    manifest_digest: Digest
    suite_name: str
    suite_digest: Digest
    seed: int
    status: Status
    done: int
    total: int
    build: str
    device: str
    seconds: float
    scores: tuple[Score, ...]
    evidence: Mapping[str, Any]
    digest: Digest | None
    error: str | None
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None
    attempts: int
    worker: str

    @property
    def is_open(self) -> bool:
        """Whether the run is still to come to an end."""
        return self.status in (Status.QUEUED, Status.RUNNING)


@dataclass(frozen=True)
class Findings:
    """What a run measured, before it is written down."""

    scores: tuple[Score, ...]
    evidence: Mapping[str, Any]
    build: str
    device: str

    @property
    def blobs(self) -> frozenset[Digest]:
        """Every image in the sealed store that the evidence shows."""
        shown = [*self.evidence["samples"]["images"], *self.evidence["worst"], *self.evidence["pairs"]]
        return frozenset(entry[key] for entry in shown for key in ("blob", "work_blob") if key in entry)


def digest_of(evaluation: Evaluation, findings: Findings) -> Digest:
    """The digest that a decision names: inputs, scores, evidence, and the build that measured them.

    Neither time nor machine is part of it: the same bytes, suite, seed and build give the same digest again, and
    anyone can compute it from the run as it is kept.
    """
    return digest_of_json(
        {
            "manifest": evaluation.manifest_digest,
            "suite": evaluation.suite_digest,
            "seed": evaluation.seed,
            "build": findings.build,
            "scores": [score.document() for score in sorted(findings.scores, key=lambda score: score.name)],
            "evidence": findings.evidence,
        }
    )
