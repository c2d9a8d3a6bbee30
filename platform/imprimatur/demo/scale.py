"""How much of everything a run of the demo makes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Share of the training steps, and images for each prompt of the two image sets."""

    training: float
    conditional: int
    neutral: int


FULL = Scale(training=1.0, conditional=50, neutral=300)
SMALL = Scale(training=0.7, conditional=30, neutral=200)
"""Enough for the same three verdicts, in a fraction of the time: what the tests share."""
