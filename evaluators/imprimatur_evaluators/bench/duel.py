"""One piece of work done by us and by a named peer, and the table of what came of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

HEAD = ("work", "peer", "ours (s)", "peer (s)", "peer / ours", "relative difference of the values")


@dataclass(frozen=True)
class Duel:
    """Work with the value that each side comes to; ``rounds`` laps each are run in turn, after one to warm up."""

    work: str
    peer: str
    ours: Callable[[], float]
    theirs: Callable[[], float]
    rounds: int = 3


@dataclass(frozen=True)
class Outcome:
    """Medians in seconds, and the relative difference between both values."""

    work: str
    peer: str
    ours: float
    theirs: float
    difference: float

    @property
    def ratio(self) -> float:
        """How many times as long the peer takes."""
        return self.theirs / self.ours

    @property
    def row(self) -> tuple[str, ...]:
        """The outcome as a table's row."""
        return (
            self.work,
            self.peer,
            f"{self.ours:.2f}",
            f"{self.theirs:.2f}",
            f"{self.ratio:.1f}",
            f"{self.difference:.0e}",
        )


def run(duel: Duel) -> Outcome:
    """Both sides in turn, after one warm-up each; the medians are what is compared."""
    values = duel.ours(), duel.theirs()
    laps = [(timed(duel.ours).seconds, timed(duel.theirs).seconds) for _ in range(duel.rounds)]
    ours, theirs = (statistics.median(side) for side in zip(*laps, strict=True))
    return Outcome(duel.work, duel.peer, ours, theirs, difference(*values))


@dataclass(frozen=True)
class Lap:
    """What one run came to, and how long it took."""

    value: float
    seconds: float


def timed(work: Callable[[], float]) -> Lap:
    """One run of ``work``."""
    began = time.perf_counter()
    value = work()
    return Lap(value, time.perf_counter() - began)


def difference(ours: float, theirs: float) -> float:
    """How far both values lie apart, relative to the peer's."""
    return abs(ours - theirs) / max(abs(theirs), 1e-12)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a head as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
