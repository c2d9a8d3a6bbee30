"""Datasets: what scores are measured against, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imprimatur.core.digests import Digest, Json


class DatasetKind(StrEnum):
    """What a dataset is for; each kind has its own expected columns."""

    PROMPTS = "prompts"  # prompt, label (may be empty), group
    REFERENCE = "reference"  # image (PNG bytes), label, caption
    CALIBRATION = "calibration"  # image, label, caption: held-out real images that set thresholds
    PROTECTED = "protected"  # image, title, owner, licence, source


@dataclass(frozen=True)
class Dataset:
    """One immutable dataset: a Parquet blob in the sealed store, with its owner, licence and validation."""

    name: str
    kind: DatasetKind
    digest: Digest
    owner: str
    licence: str
    source: str
    rows: int
    added_by: str
    added_at: datetime
    validation: Mapping[str, Json]
