"""The quality page: each released model, where it stands, and its served scores over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from imprimatur.core.clock import iso
from imprimatur.monitoring.model import ServedScore, Standing, Strip
from imprimatur.policy.model import Bounds, Verdict
from imprimatur.reports.charts import Chart
from imprimatur.reports.plots import ServedPoint, served_by_time
from imprimatur.reports.words import amount_of, measured, score_name

_LOOKS = {
    Standing.IN_LIMITS: Verdict.ALLOW.value,
    Standing.DRIFTING: Verdict.UNDECIDED.value,
    Standing.OUT_OF_LIMITS: Verdict.DENY.value,
    Standing.NOT_ENOUGH_TRAFFIC: "unknown",
}


@dataclass(frozen=True)
class Line:
    """One served score now, beside what was judged."""

    name: str
    title: str
    bounds: Bounds | None
    served: int
    at: datetime | None
    limit: float | None
    judged: tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """One released model."""

    strip: Strip
    reason: str
    lines: tuple[Line, ...]
    charts: tuple[Chart, ...]

    @property
    def look(self) -> str:
        """The look of its status: not enough traffic never looks good."""
        return _LOOKS[self.strip.standing]


def panel(strip: Strip, past: Sequence[ServedScore]) -> Panel:
    """The panel of ``strip``; ``past`` are the model's scores by window, newest first."""
    mine = [score for score in past if (score.version, score.environment) == (strip.version, strip.environment)]
    lines = tuple(_line(strip, limit.name) for limit in strip.limits)
    charts = (_chart(strip, limit.name, [s for s in mine if s.name == limit.name]) for limit in strip.limits)
    return Panel(strip, _in_words(strip, lines), lines, tuple(chart for chart in charts if chart))


def served_rows(scores: Sequence[ServedScore]) -> list[tuple[str, ...]]:
    """Served scores for a spreadsheet."""
    return [
        (
            iso(s.window_start),
            iso(s.window_end),
            f"{s.model}/{s.version}",
            s.environment,
            s.name,
            *(str(number) for number in (s.value, s.ci_low, s.ci_high, s.n, s.served)),
        )
        for s in scores
    ]


SERVED_COLUMNS = (
    "window_start",
    "window_end",
    "version",
    "environment",
    "score",
    "value",
    "ci_low",
    "ci_high",
    "images",
    "served",
)


def _line(strip: Strip, name: str) -> Line:
    score = next((score for score in strip.scores if score.name == name), None)
    limit = next(limit for limit in strip.limits if limit.name == name)
    return Line(
        name=name,
        title=str(score_name(name, lower_is_better=limit.lower_is_better)),
        bounds=_bounds(score, lower_is_better=limit.lower_is_better) if score else None,
        served=score.served if score else 0,
        at=score.at if score else None,
        limit=limit.limit,
        judged=(limit.judged_low, limit.judged_high),
    )


def _chart(strip: Strip, name: str, past: Sequence[ServedScore]) -> Chart | None:
    limit = next(limit for limit in strip.limits if limit.name == name)
    points = tuple(
        ServedPoint(score.window_end, score.version, _bounds(score, lower_is_better=limit.lower_is_better))
        for score in sorted(past, key=lambda score: score.window_end)
    )
    return served_by_time(name, points, limit.limit, csv_path=f"/models/{strip.model}/served.csv") if points else None


def _bounds(score: ServedScore, *, lower_is_better: bool) -> Bounds:
    return Bounds(score.value, score.ci_low, score.ci_high, score.n, lower_is_better=lower_is_better)


def _in_words(strip: Strip, lines: Sequence[Line]) -> str:
    """The score that settled the standing, in its unit; else the monitor's own reason with the score's title."""
    for line in lines:
        if strip.reason.startswith(line.name):
            if line.bounds is None:
                return strip.reason.replace(line.name, score_name(line.name).title)
            limit = "no limit" if line.limit is None else f"limit {amount_of(line.name, line.limit)}"
            return f"{score_name(line.name).title} {measured(line.name, line.bounds)}; {limit}"
    return strip.reason
