"""One model over time: its versions' scores side by side, quality from version to version, and what each cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imprimatur.core.clock import iso
from imprimatur.costs.model import Kind
from imprimatur.policy.model import Bounds, RuleResult, Verdict
from imprimatur.release.model import Release
from imprimatur.reports.charts import Chart
from imprimatur.reports.model import Brief
from imprimatur.reports.plots import Spending, VersionPoint, cost_by_kind, score_by_version
from imprimatur.reports.requirements import bounds_of

SIDE_BY_SIDE = 5
_IN_A_CHART = 20


@dataclass(frozen=True)
class Cell:
    """One version's value of a score, and what the policy said of it; None where it was not measured or judged."""

    bounds: Bounds | None
    verdict: Verdict | None


@dataclass(frozen=True)
class Row:
    """One score over the versions that are shown."""

    name: str
    lower_is_better: bool
    limit: float | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class SideBySide:
    """Versions as columns, scores as rows."""

    versions: tuple[Brief, ...]
    rows: tuple[Row, ...]


def drawn(briefs: Sequence[Brief]) -> list[Brief]:
    """The measured versions that table and charts show, newest first: the others need no scores."""
    return [brief for brief in briefs if brief.evaluation][:_IN_A_CHART]


def side_by_side(measured: Sequence[Brief]) -> SideBySide:
    """Scores as rows, the newest measured versions as columns."""
    shown = tuple(measured[:SIDE_BY_SIDE])
    return SideBySide(shown, tuple(_row(name, shown) for name in _names(shown)))


def quality_charts(model: str, measured: Sequence[Brief]) -> tuple[Chart, ...]:
    """For each score a chart over measured versions, oldest first."""
    ordered = sorted(measured, key=lambda brief: brief.version.version)
    charts = ((name, _points(name, ordered)) for name in _names(ordered))
    return tuple(score_by_version(name, points, csv_path=f"/models/{model}/quality.csv") for name, points in charts)


def cost_chart(model: str, costs: Mapping[int, Mapping[Kind, float]], currency: str) -> Chart | None:
    """What each of the newest versions cost by kind; None where nothing was spent."""
    spent = tuple(
        Spending(f"v{version}", kind, amount)
        for version, kinds in sorted(costs.items())[-_IN_A_CHART:]
        for kind, amount in kinds.items()
        if amount
    )
    if not spent:
        return None
    question = "What did each version cost, and for what?"
    return cost_by_kind(spent, currency, group="Version", question=question, csv_path=f"/models/{model}/costs.csv")


def quality_rows(briefs: Sequence[Brief]) -> list[tuple[str, ...]]:
    """Every score of every version for a spreadsheet."""
    rows = []
    for brief in sorted(briefs, key=lambda each: each.version.version):
        judged = _judged(brief)
        for score in brief.evaluation.scores if brief.evaluation else ():
            result = judged.get(score.name)
            limit = result.limit if result else None
            verdict = result.verdict.value if result else ""
            numbers = (score.value, score.ci_low, score.ci_high, score.n, "" if limit is None else limit)
            rows.append((brief.version.label, score.name, *map(str, numbers), verdict))
    return rows


def release_rows(releases: Sequence[Release]) -> list[tuple[str, ...]]:
    """Every release for a spreadsheet; ``until`` is empty for what stands."""
    return [
        (
            release.label,
            release.environment,
            iso(release.released_at),
            iso(release.ended_at) if release.ended_at else "",
            release.released_by,
            release.ended_reason or "",
        )
        for release in releases
    ]


QUALITY_COLUMNS = ("version", "score", "value", "ci_low", "ci_high", "images", "limit", "verdict")
RELEASE_COLUMNS = ("version", "environment", "from", "until", "by", "ended_because")


def _names(briefs: Sequence[Brief]) -> list[str]:
    """Names of all scores: those that a policy judges first, in its order."""
    measured = [score.name for each in briefs if each.evaluation for score in each.evaluation.scores]
    judged = [name for each in briefs for name in _judged(each) if name in measured]
    return list(dict.fromkeys([*judged, *measured]))


def _row(name: str, briefs: Sequence[Brief]) -> Row:
    cells = [_cell(name, brief) for brief in briefs]
    lower = next((cell.bounds.lower_is_better for cell in cells if cell.bounds), True)
    limits = [result.limit for each in briefs if (result := _judged(each).get(name))]
    return Row(name, lower, limits[0] if limits else None, tuple(cells))


def _cell(name: str, brief: Brief) -> Cell:
    result = _judged(brief).get(name)
    return Cell(_bounds(name, brief), result.verdict if result else None)


def _points(name: str, briefs: Sequence[Brief]) -> tuple[VersionPoint, ...]:
    points = []
    for brief in briefs:
        bounds = _bounds(name, brief)
        result = _judged(brief).get(name)
        if bounds is not None:
            verdict, limit = (result.verdict, result.limit) if result else (None, None)
            points.append(VersionPoint(brief.version.version, bounds, verdict, limit))
    return tuple(points)


def _bounds(name: str, brief: Brief) -> Bounds | None:
    scores = brief.evaluation.scores if brief.evaluation else ()
    return next((bounds_of(score) for score in scores if score.name == name), None)


def _judged(brief: Brief) -> dict[str, RuleResult]:
    """What the decision says of each score, in the policy's order, which failures first would hide."""
    results = {result.id: result for result in brief.decision.results} if brief.decision else {}
    return {result.score: result for result in results.values() if result.score}
