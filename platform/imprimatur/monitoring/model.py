"""How a released model stands: what was served, scored again, against what was promised when it was released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imprimatur.core.clock import iso
from imprimatur.core.digests import Digest, Json, digest_of_json

_ID_DIGITS = 20


class Standing(StrEnum):
    """What an operator sees first. Without enough traffic nothing is ever in limits."""

    IN_LIMITS = "in limits"
    DRIFTING = "drifting"
    OUT_OF_LIMITS = "out of limits"
    NOT_ENOUGH_TRAFFIC = "not enough traffic"


@dataclass(frozen=True)
class ServedScore:
    """One score over the images of one manifest that were served and re-scored from ``window_start`` on.

    ``n`` images were re-scored out of ``served``; ``at`` is when the newest of them was.
    """

    model: str
    version: int
    manifest_digest: Digest
    environment: str
    window_start: datetime
    window_end: datetime
    served: int
    name: str
    value: float
    ci_low: float
    ci_high: float
    n: int
    at: datetime

    @property
    def id(self) -> str:
        """The same for every measurement of this score in this window."""
        key = [self.manifest_digest, self.environment, iso(self.window_start), self.name]
        return "srv-" + digest_of_json(key).removeprefix("sha256:")[:_ID_DIGITS]

    def document(self) -> Mapping[str, Json]:
        """The score as JSON."""
        times = {"window_start": self.window_start, "window_end": self.window_end, "at": self.at}
        return {**vars(self), **{name: iso(moment) for name, moment in times.items()}}


@dataclass(frozen=True)
class Limit:
    """What a release must keep to: a rule's bound on one score, and that score's interval when it was judged."""

    name: str
    limit: float | None
    lower_is_better: bool
    judged_low: float
    judged_high: float


@dataclass(frozen=True)
class Strip:
    """One line about a released model: where it stands and why."""

    model: str
    version: int | None
    environment: str
    standing: Standing
    reason: str
    scores: tuple[ServedScore, ...]
    limits: tuple[Limit, ...]

    def document(self) -> Mapping[str, Json]:
        """The strip as JSON."""
        return {
            "model": self.model,
            "version": self.version,
            "environment": self.environment,
            "standing": self.standing.value,
            "reason": self.reason,
            "scores": [score.document() for score in self.scores],
            "limits": [dict(vars(limit)) for limit in self.limits],
        }


@dataclass(frozen=True)
class Finding:
    """Where a model stands, and the sentence that says why."""

    standing: Standing
    reason: str


def judge(scores: Sequence[ServedScore], limits: Sequence[Limit], *, minimum: int) -> Finding:
    """Where a model stands by the worst of its scores.

    Out of limits: the whole interval is beyond a limit. Drifting: the estimate is beyond it, or the interval is worse
    than, and apart from, the one that was judged. Not enough traffic: fewer images than ``minimum``, or an interval so
    wide that it crosses the limit although the estimate keeps it.
    """
    by_name = {score.name: score for score in scores}
    judged = [_judge(by_name.get(limit.name), limit, minimum) for limit in limits]
    if not judged:
        return Finding(Standing.NOT_ENOUGH_TRAFFIC, "No score of the decision can be measured again on what is served")
    return min(judged, key=lambda finding: _WORST_FIRST.index(finding.standing))


_WORST_FIRST = (Standing.OUT_OF_LIMITS, Standing.DRIFTING, Standing.NOT_ENOUGH_TRAFFIC, Standing.IN_LIMITS)


def _judge(score: ServedScore | None, limit: Limit, minimum: int) -> Finding:
    n = score.n if score else 0
    if score is None or n < minimum:
        return Finding(
            Standing.NOT_ENOUGH_TRAFFIC, f"{limit.name}: {n} images were re-scored (at least {minimum} are needed)"
        )
    found = f"{limit.name} {score.value:.3g} ({score.ci_low:.3g} to {score.ci_high:.3g}, n = {n})"
    sign = -1.0 if limit.lower_is_better else 1.0  # so that more is better from here on
    value = sign * score.value
    low, high = sorted((sign * score.ci_low, sign * score.ci_high))
    if limit.limit is not None:
        bound = sign * limit.limit
        if high < bound:
            return Finding(Standing.OUT_OF_LIMITS, f"{found} is beyond the limit {limit.limit:g}")
        if value < bound:
            return Finding(Standing.DRIFTING, f"{found} is beyond the limit {limit.limit:g}, its interval crosses it")
    if high < min(sign * limit.judged_low, sign * limit.judged_high):
        return Finding(
            Standing.DRIFTING,
            f"{found} is worse than when it was judged ({limit.judged_low:.3g} to {limit.judged_high:.3g})",
        )
    if limit.limit is not None and low < sign * limit.limit:
        return Finding(
            Standing.NOT_ENOUGH_TRAFFIC, f"{found} keeps the limit {limit.limit:g}, but its interval crosses it"
        )
    kept = "is as it was judged" if limit.limit is None else f"keeps the limit {limit.limit:g}"
    return Finding(Standing.IN_LIMITS, f"{found} {kept}")
