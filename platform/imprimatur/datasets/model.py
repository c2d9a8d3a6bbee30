"""Datasets: what scores are measured against, and whose it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from imprimatur.core.digests import Digest, Json
from imprimatur.core.errors import BadInput

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")


class DatasetKind(StrEnum):
    """What a dataset is for; each kind has its own expected columns."""

    PROMPTS = "prompts"  # prompt, label (may be empty), group
    REFERENCE = "reference"  # image (PNG bytes), label, caption
    CALIBRATION = "calibration"  # image, label, caption: held-out real images that set thresholds
    TRAINING = "training"  # image, label, caption: what a model learned from
    PROTECTED = "protected"  # image, title, owner, licence, source


COLUMNS: Mapping[DatasetKind, tuple[str, ...]] = {
    DatasetKind.PROMPTS: ("prompt", "label", "group"),
    DatasetKind.REFERENCE: ("image", "label", "caption"),
    DatasetKind.CALIBRATION: ("image", "label", "caption"),
    DatasetKind.TRAINING: ("image", "label", "caption"),
    DatasetKind.PROTECTED: ("image", "title", "owner", "licence", "source"),
}
"""The columns that a Parquet file of each kind has: ``image`` is binary, every other one is text."""

PLAUSIBLE_ROWS: Mapping[DatasetKind, tuple[int, int]] = {
    DatasetKind.PROMPTS: (1, 100_000),
    DatasetKind.REFERENCE: (100, 10_000_000),
    DatasetKind.CALIBRATION: (100, 1_000_000),
    DatasetKind.TRAINING: (1, 10_000_000),
    DatasetKind.PROTECTED: (1, 1_000_000),
}
"""How many rows make sense: a distance needs a hundred real images, a false-positive rate of 1% needs a hundred too."""


@dataclass(frozen=True)
class Expectation:
    """One named result of a validation: what was expected, whether it held, and what was found."""

    name: str
    title: str
    passed: bool
    found: str

    def document(self) -> Mapping[str, Json]:
        """The result as JSON."""
        return {"name": self.name, "title": self.title, "passed": self.passed, "found": self.found}


@dataclass(frozen=True)
class Dataset:
    """One immutable dataset: a Parquet blob in the sealed store, with its owner, licence and validation.

    ``validation`` is ``{"passed", "engine", "expectations": [{"name", "title", "passed", "found"}]}``.
    """

    name: str
    kind: DatasetKind
    digest: Digest
    owner: str
    licence: str
    source: str
    rows: int
    added_by: str
    added_at: datetime
    validation: Mapping[str, Any]

    @property
    def failed(self) -> list[str]:
        """Names of the expectations that did not hold when the dataset was added."""
        return [result["name"] for result in self.validation["expectations"] if not result["passed"]]


def kind_of(text: str) -> DatasetKind:
    """The kind that ``text`` names, else BadInput ``bad-kind``.

    >>> kind_of("protected").value
    'protected'
    """
    try:
        return DatasetKind(text)
    except ValueError as error:
        kinds = ", ".join(DatasetKind)
        raise BadInput("bad-kind", f"There is no kind of dataset {text!r} (expected one of {kinds})") from error


def require_name(name: str) -> str:
    """``name`` where it can name a dataset, else BadInput ``bad-name``.

    >>> require_name("digits-reference")
    'digits-reference'
    """
    if _NAME.fullmatch(name) is None:
        raise BadInput(
            "bad-name",
            f"{name!r} can't name a dataset (expected 1 to 128 of a-z, 0-9, '.', '_' and '-', "
            "the first one a letter or a digit)",
        )
    return name
