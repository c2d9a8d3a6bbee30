"""What a score is, and what a metric declares of itself. No torch here: servers read scores without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from math import inf
from typing import Any


class Direction(StrEnum):
    """Which way is better."""

    LOWER = "lower"
    HIGHER = "higher"


class Need(StrEnum):
    """The real images that a metric is measured against."""

    REFERENCE = "reference"
    CALIBRATION = "calibration"
    PROTECTED = "protected"


@dataclass(frozen=True)
class Score:
    """One measured number with its 95% interval and everything needed to measure it again.

    ``name`` is ``statistic/backbone``; only the published network gives a published name (FID, CLIPScore). ``n`` counts
    the images that the number rests on. ``protocol`` states resize mode and options in words.
    """

    name: str
    value: float
    ci_low: float
    ci_high: float
    n: int
    direction: Direction
    backbone: str
    weights_digest: str
    protocol: str
    seed: int

    def document(self) -> dict[str, Any]:
        """The score as JSON."""
        return {**asdict(self), "direction": self.direction.value}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Score:
        """The score that ``document`` states."""
        return cls(**{**document, "direction": Direction(document["direction"])})


@dataclass(frozen=True)
class MetricSpec:
    """What a metric declares: which way is better, its range, its protocol, what the interval covers, and the source.

    ``options`` are those that it takes, with their defaults (None where there is none); ``protocol`` names them in
    braces. ``version`` rises whenever the same images would give another number. ``share`` says that the value is a
    share of images; ``joint`` that the backbone must read prompts, ``prompted`` that every image needs its own prompt,
    ``labelled`` that labels are read, by captions or by a classifier.
    """

    name: str
    direction: Direction
    protocol: str
    estimand: str
    source: str
    low: float = 0.0
    high: float = inf
    version: int = 1
    needs: frozenset[Need] = frozenset()
    options: Mapping[str, Any] = field(default_factory=dict)
    fewest: int = 20
    share: bool = False
    joint: bool = False
    prompted: bool = False
    labelled: bool = False

    def words(self, options: Mapping[str, Any]) -> str:
        """The protocol with these options, or the defaults, in it."""
        return f"{self.protocol.format(**{**self.options, **options})}; 95% interval for {self.estimand}"


@dataclass(frozen=True)
class Metric:
    """A metric from outside: what it declares, and what computes it from ``scoring.model.Inputs``.

    A package offers one under the entry-point group ``imprimatur.metrics``.
    """

    spec: MetricSpec
    compute: Callable[[Any], Any]


@dataclass(frozen=True)
class Published:
    """A published name: this statistic, on this network and no other."""

    name: str
    statistic: str
    backbone: str
    options: Mapping[str, Any] = field(default_factory=dict)
