"""Suites, evaluation runs and their evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imprimatur.core.digests import Digest, Json
from imprimatur_evaluators.spec import Score


class Status(StrEnum):
    """Where an evaluation run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True)
class ImageSet:
    """Images to generate: ``per_prompt`` for each prompt of ``group``."""

    name: str
    group: str
    per_prompt: int


@dataclass(frozen=True)
class Metric:
    """One metric of a suite, on one image set, with its options."""

    name: str
    images: str
    options: Mapping[str, Json]


@dataclass(frozen=True)
class Suite:
    """What is generated and measured, and against which data. ``digest`` is that of the document's canonical JSON."""

    name: str
    version: int
    digest: Digest
    backbone: str
    steps: int
    guidance: float
    datasets: Mapping[str, str]
    sets: tuple[ImageSet, ...]
    metrics: tuple[Metric, ...]
    document: Mapping[str, Json]


@dataclass(frozen=True)
class Evaluation:
    """One run of a suite on one sealed manifest. ``digest`` covers inputs, scores and evidence once it is complete."""

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
    evidence: Mapping[str, Json]
    digest: Digest | None
    error: str | None
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None
