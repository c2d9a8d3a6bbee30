"""What a score is. No torch here: servers read scores without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Direction(StrEnum):
    """Which way is better."""

    LOWER = "lower"
    HIGHER = "higher"


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
