"""One model over time: its versions' scores side by side, quality from version to version, and what each cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imprimatur.costs.model import Kind
from imprimatur.policy.model import Bounds, RuleResult, Verdict
from imprimatur.reports.charts import Chart
from imprimatur.reports.model import Dossier
from imprimatur.reports.plots import Spending, VersionPoint, cost_by_kind, score_by_version
from imprimatur.reports.requirements import bounds_of

SIDE_BY_SIDE = 5


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

    versions: tuple[Dossier, ...]
    rows: tuple[Row, ...]


def side_by_side(dossiers: Sequence[Dossier]) -> SideBySide:
    """Scores as rows, the newest measured versions as columns."""
    shown = tuple([dossier for dossier in dossiers if dossier.evaluation][:SIDE_BY_SIDE])
    return SideBySide(shown, tuple(_row(name, shown) for name in _names(shown)))


def quality_charts(model: str, dossiers: Sequence[Dossier]) -> tuple[Chart, ...]:
    """For each score a chart over the versions that have it, oldest first."""
    ordered = sorted(dossiers, key=lambda dossier: dossier.version.version)
    charts = ((name, _points(name, ordered)) for name in _names(ordered))
    return tuple(score_by_version(name, points, csv_path=f"/models/{model}/quality.csv") for name, points in charts)


def cost_chart(model: str, costs: Mapping[int, Mapping[Kind, float]], currency: str) -> Chart | None:
    """What each version cost by kind; None where nothing was spent."""
    spent = tuple(
        Spending(f"v{version}", kind, amount)
        for version, kinds in sorted(costs.items())
        for kind, amount in kinds.items()
        if amount
    )
    if not spent:
        return None
    question = "What did each version cost, and for what?"
    return cost_by_kind(spent, currency, group="Version", question=question, csv_path=f"/models/{model}/costs.csv")


def quality_rows(dossiers: Sequence[Dossier]) -> list[tuple[str, ...]]:
    """Every score of every version for a spreadsheet."""
    rows = []
    for dossier in sorted(dossiers, key=lambda each: each.version.version):
        judged = _judged(dossier)
        for score in dossier.evaluation.scores if dossier.evaluation else ():
            result = judged.get(score.name)
            limit = result.limit if result else None
            verdict = result.verdict.value if result else ""
            numbers = (score.value, score.ci_low, score.ci_high, score.n, "" if limit is None else limit)
            rows.append((dossier.version.label, score.name, *map(str, numbers), verdict))
    return rows


QUALITY_COLUMNS = ("version", "score", "value", "ci_low", "ci_high", "images", "limit", "verdict")


def _names(dossiers: Sequence[Dossier]) -> list[str]:
    """Names of all scores: those that a policy judges first, in its order."""
    measured = [score.name for each in dossiers if each.evaluation for score in each.evaluation.scores]
    judged = [name for each in dossiers for name in _judged(each) if name in measured]
    return list(dict.fromkeys([*judged, *measured]))


def _row(name: str, dossiers: Sequence[Dossier]) -> Row:
    cells = [_cell(name, dossier) for dossier in dossiers]
    lower = next((cell.bounds.lower_is_better for cell in cells if cell.bounds), True)
    limits = [result.limit for each in dossiers if (result := _judged(each).get(name))]
    return Row(name, lower, limits[0] if limits else None, tuple(cells))


def _cell(name: str, dossier: Dossier) -> Cell:
    result = _judged(dossier).get(name)
    return Cell(_bounds(name, dossier), result.verdict if result else None)


def _points(name: str, dossiers: Sequence[Dossier]) -> tuple[VersionPoint, ...]:
    points = []
    for dossier in dossiers:
        bounds = _bounds(name, dossier)
        result = _judged(dossier).get(name)
        if bounds is not None:
            verdict, limit = (result.verdict, result.limit) if result else (None, None)
            points.append(VersionPoint(dossier.version.version, bounds, verdict, limit))
    return tuple(points)


def _bounds(name: str, dossier: Dossier) -> Bounds | None:
    scores = dossier.evaluation.scores if dossier.evaluation else ()
    return next((bounds_of(score) for score in scores if score.name == name), None)


def _judged(dossier: Dossier) -> dict[str, RuleResult]:
    """What the decision says of each score, in the policy's order, which failures first would hide."""
    results = {result.id: result for result in dossier.decision.results} if dossier.decision else {}
    return {result.score: result for result in results.values() if result.score}
