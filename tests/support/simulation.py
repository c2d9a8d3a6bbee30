"""How often intervals cover what they say, over many simulated cases."""

from __future__ import annotations

from collections.abc import Iterable

from imprimatur_evaluators.statistics.intervals import Interval

LEAST, MOST = 0.92, 0.98
"""The range in which a 95% interval's coverage must lie."""
_ROUNDING = 1e-12


def coverage(intervals: Iterable[Interval], truth: float) -> float:
    """The share of intervals that hold ``truth``."""
    held = [one.low - _ROUNDING <= truth <= one.high + _ROUNDING for one in intervals]
    return sum(held) / len(held)
