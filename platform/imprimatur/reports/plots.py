"""The charts that pages and reports show, each built from plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import altair as alt

from imprimatur.core.clock import iso
from imprimatur.costs.model import Kind
from imprimatur.policy.model import Bounds, Verdict
from imprimatur.reports import palette
from imprimatur.reports.charts import Chart, chart_of, draw, remembered
from imprimatur.reports.words import (
    RULE_VERDICTS,
    amount_of,
    counted,
    interval,
    is_share,
    money,
    percent,
    score_name,
    unit_of,
)

_WIDTH = 400
_NOT_JUDGED = "not judged"
_ANSWERS = (*RULE_VERDICTS.values(), _NOT_JUDGED)
_ANSWER_COLOURS = (palette.GOOD, palette.BAD, palette.OPEN, palette.MUTED)
_ANSWER_SHAPES = ("circle", "diamond", "triangle-up", "square")
_KIND_COLOURS = (palette.ACCENT, palette.SECOND, palette.THIRD)


@dataclass(frozen=True)
class VersionPoint:
    """One version's score and what the policy said about it; None where no decision did."""

    version: int
    bounds: Bounds
    verdict: Verdict | None
    limit: float | None


@dataclass(frozen=True)
class ServedPoint:
    """A score of what was served in one window."""

    at: datetime
    version: int
    bounds: Bounds


@dataclass(frozen=True)
class Spending:
    """What a model or a version cost for one kind of work."""

    name: str
    kind: Kind
    amount: float


@remembered
def score_by_version(name: str, points: Sequence[VersionPoint], *, csv_path: str = "") -> Chart:
    """Score by version with interval and limit, coloured and shaped by what the policy said."""
    words = score_name(name, lower_is_better=points[-1].bounds.lower_is_better)
    question = f"{words.title}: is it improving from version to version?"
    rows = [_version_row(name, point) for point in points]
    x = alt.X("version:N", title="Version", sort=[f"v{point.version}" for point in points])
    base = chart_of(rows)
    ends = base.mark_rule(strokeWidth=3).encode(x=x, y=_y("low", name), y2="high:Q", color=_answer_colour(points))
    dots = base.mark_point(size=110, filled=True, opacity=1).encode(
        x=x,
        y=_y("value", name),
        color=_answer_colour(points),
        shape=alt.Shape("answer:N", scale=_answer_scale(points, _ANSWER_SHAPES)),
    )
    limits = base.transform_filter("isValid(datum.limit)").mark_tick(
        color=palette.INK, thickness=2, size=min(46, 0.7 * _WIDTH / len(points)), strokeDash=[5, 3]
    )
    layers = [limits.encode(x=x, y=_y("limit", name)), ends, dots]
    summary = _version_summary(name, points)
    svg = draw(layers, width=_WIDTH, height=190, label=f"{question} {summary}")
    columns = ("Version", "Value", "95% interval", "Images", "Limit", "Policy")
    table = tuple(_version_cells(name, point) for point in points)
    return Chart(f"score-{name}", question, summary, svg, columns, table, csv_path)


@remembered
def served_by_time(name: str, points: Sequence[ServedPoint], limit: float | None, *, csv_path: str = "") -> Chart:
    """Score of served images by window, with its interval and the limit that the release was decided with."""
    words = score_name(name, lower_is_better=points[-1].bounds.lower_is_better)
    question = f"{words.title}: does it hold in what is served?"
    scale = _scale(name)
    rows = [
        {
            "at": iso(point.at),
            "value": point.bounds.value * scale,
            "low": point.bounds.ci_low * scale,
            "high": point.bounds.ci_high * scale,
        }
        for point in points
    ]
    x = alt.X(
        "at:T",
        title="End of the window (UTC)",
        axis=alt.Axis(format="%b %d, %H:%M", tickCount=3),
        scale=alt.Scale(padding=24, type="utc"),
    )
    base = chart_of(rows)
    layers = [
        base.mark_rule(strokeWidth=3, color=palette.ACCENT).encode(x=x, y=_y("low", name), y2="high:Q"),
        base.mark_point(size=80, filled=True, opacity=1, color=palette.ACCENT).encode(x=x, y=_y("value", name)),
    ]
    if limit is not None:
        edge = chart_of([{"limit": limit * scale}])
        layers.append(edge.mark_rule(strokeDash=[5, 3], color=palette.INK).encode(y=_y("limit", name)))
    last = points[-1]
    ends = interval(name, last.bounds.ci_low, last.bounds.ci_high)
    against = f"; limit {amount_of(name, limit)}" if limit is not None else ""
    summary = (
        f"Last window: {amount_of(name, last.bounds.value)} (95% interval {ends}) "
        f"over {counted(last.bounds.n, 'image')}{against}."
    )
    svg = draw(layers, width=_WIDTH, height=190, label=f"{question} {summary}")
    columns = ("Window ended", "Version", "Value", "95% interval", "Images")
    table = tuple(
        (
            iso(p.at),
            f"v{p.version}",
            amount_of(name, p.bounds.value),
            interval(name, p.bounds.ci_low, p.bounds.ci_high),
            str(p.bounds.n),
        )
        for p in points
    )
    return Chart(f"served-{name}", question, summary, svg, columns, table, csv_path)


@remembered
def cost_by_kind(spent: Sequence[Spending], currency: str, *, group: str, question: str, csv_path: str = "") -> Chart:
    """Money by ``group`` (a model, a version) as stacked bars of training, evaluation and serving."""
    names = list(dict.fromkeys(each.name for each in spent))
    kinds = [kind.value for kind in Kind]
    rows = [{"name": s.name, "kind": s.kind.value, "amount": s.amount, "order": kinds.index(s.kind)} for s in spent]
    bars = (
        chart_of(rows)
        .mark_bar(size=26, stroke=palette.PAPER, strokeWidth=1)
        .encode(
            y=alt.Y("name:N", title=group, sort=names, axis=alt.Axis(grid=False, labelLimit=140, ticks=False)),
            x=alt.X("amount:Q", title=f"Cost ({currency})", axis=alt.Axis(grid=True, tickCount=4)),
            color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=list(_KIND_COLOURS))),
            order=alt.Order("order:Q"),
        )
    )
    whole = sum(each.amount for each in spent)
    parts = {kind: sum(each.amount for each in spent if each.kind is kind) for kind in Kind}
    most = max(parts, key=lambda kind: parts[kind])
    share = f"; {percent(parts[most] / whole)} of it for {most.value}" if whole else ""
    summary = f"{money(whole, currency)} in all{share}."
    svg = draw([bars], width=_WIDTH, height=max(46 * len(names), 70), label=f"{question} {summary}")
    table = tuple((each.name, each.kind.value, money(each.amount, currency)) for each in spent)
    return Chart("cost", question, summary, svg, (group, "For", "Amount"), table, csv_path)


@remembered
def look_alikes(similarity: Mapping[str, Any], *, csv_path: str = "") -> Chart:
    """Histograms of similarity to the nearest protected work, generated against held-out real images."""
    question = "Are generated images nearer to protected works than real images are?"
    edges, generated, real = _trimmed(similarity)
    series = {"generated": generated, "held-out real": real}
    rows = [
        {"low": low, "high": high, "share": 100 * count / max(sum(counts), 1), "images": name}
        for name, counts in series.items()
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    colours = alt.Scale(domain=list(series), range=[palette.ACCENT, palette.SECOND])
    x = alt.X("low:Q", title="Cosine similarity to the nearest protected work (-1 to 1)", bin="binned")
    bars = (
        chart_of(rows)
        .mark_bar(opacity=0.62, binSpacing=0)
        .encode(
            x=x,
            x2="high:Q",
            y=alt.Y("share:Q", title="% of images", stack=None),
            color=alt.Color("images:N", scale=colours),
        )
    )
    threshold = float(similarity["threshold"])
    line = chart_of([{"threshold": threshold}]).mark_rule(color=palette.INK, strokeDash=[5, 3])
    layers = [bars, line.encode(x=alt.X("threshold:Q"))]
    summary = look_alike_summary(similarity)
    svg = draw(layers, width=_WIDTH + 60, height=190, label=f"{question} {summary}")
    cells = tuple(
        (f"{low:.3f}", f"{high:.3f}", str(ours), str(theirs))
        for low, high, ours, theirs in zip(edges[:-1], edges[1:], generated, real, strict=True)
    )
    columns = ("Similarity from", "to", "Generated images", "Held-out real images")
    return Chart("look-alikes", question, summary, svg, columns, cells, csv_path)


def look_alike_summary(similarity: Mapping[str, Any]) -> str:
    """Hits beside the false alarms that the threshold lets expect."""
    hits, n = int(similarity["hits"]), int(similarity["n"])
    expected = float(similarity["expected_false_alarms"])
    return (
        f"{counted(hits, 'generated image')} of {n:,} ({percent(hits / n if n else 0)}) "
        f"{'is' if hits == 1 else 'are'} above the threshold {float(similarity['threshold']):.3f} (dashed). As many "
        f"real images would raise about {counted_about(expected)}: the threshold is set at "
        f"{percent(float(similarity['false_positive_rate']))}."
    )


def counted_about(alarms: float) -> str:
    """An expected number of false alarms, whole where it is large.

    >>> counted_about(4.2), counted_about(32.0)
    ('4.2 false alarms', '32 false alarms')
    """
    return f"{alarms:.1f} false alarms" if alarms < 10 else f"{alarms:,.0f} false alarms"


def _trimmed(similarity: Mapping[str, Any]) -> tuple[list[float], list[int], list[int]]:
    """Edges and counts without the empty bins at both ends, but for one; the threshold stays inside."""
    edges = [float(edge) for edge in similarity["edges"]]
    ours, theirs = list(similarity["generated"]), list(similarity["held_out"])
    threshold = float(similarity["threshold"])
    filled = [
        i
        for i, counts in enumerate(zip(ours, theirs, strict=True))
        if any(counts) or edges[i] <= threshold < edges[i + 1]
    ]
    first, last = max(min(filled, default=0) - 1, 0), min(max(filled, default=len(ours) - 1) + 2, len(ours))
    return edges[first : last + 1], ours[first:last], theirs[first:last]


@remembered
def balance(entry: Mapping[str, Any], *, csv_path: str = "", id: str = "balance") -> Chart:  # noqa: A002 -- an id
    """What one prompt's images show, as shares, with a tick at each declared target."""
    question = f"What does “{entry['prompt']}” show?"
    n = int(entry["n"])
    shares = [100 * count / n if n else 0.0 for count in entry["counts"]]
    targets = [100 * float(target) for target in entry["target"]]
    labels = [str(label) for label in entry["labels"]]
    rows = [
        {"label": label, "share": share, "target": target}
        for label, share, target in zip(labels, shares, targets, strict=True)
    ]
    base = chart_of(rows)
    x = alt.X("label:N", title="What the image shows", sort=labels)
    y = alt.Y("share:Q", title=f"% of {n:,} images")
    bars = base.mark_bar(color=palette.ACCENT, size=22).encode(x=x, y=y)
    ticks = base.mark_tick(color=palette.INK, thickness=3, size=32).encode(x=x, y=alt.Y("target:Q"))
    widest = max(range(len(labels)), key=lambda i: abs(shares[i] - targets[i]))
    summary = (
        f"Furthest from its target (tick): {labels[widest]!r} with {shares[widest]:.1f}% of {counted(n, 'image')}, "
        f"target {targets[widest]:.1f}%."
    )
    svg = draw([bars, ticks], width=_WIDTH, height=180, label=f"{question} {summary}")
    cells = tuple(
        (label, str(count), f"{share:.1f}%", f"{target:.1f}%")
        for label, count, share, target in zip(labels, entry["counts"], shares, targets, strict=True)
    )
    return Chart(id, question, summary, svg, ("Shown", "Images", "Share", "Target"), cells, csv_path)


def _scale(name: str) -> float:
    return 100.0 if is_share(name) else 1.0


def _y(field: str, name: str) -> alt.Y:
    return alt.Y(f"{field}:Q", title=unit_of(name), scale=alt.Scale(zero=False, nice=True, padding=12))


def _answer_colour(points: Sequence[VersionPoint]) -> alt.Color:
    return alt.Color("answer:N", scale=_answer_scale(points, _ANSWER_COLOURS))


def _answer_scale(points: Sequence[VersionPoint], marks: Sequence[str]) -> alt.Scale:
    """A scale of the answers that occur, so that the legend explains what is there and nothing else."""
    there = {_answer(point) for point in points}
    shown = [(answer, mark) for answer, mark in zip(_ANSWERS, marks, strict=True) if answer in there]
    return alt.Scale(domain=[answer for answer, _ in shown], range=[mark for _, mark in shown])


def _version_row(name: str, point: VersionPoint) -> dict[str, Any]:
    scale = _scale(name)
    return {
        "version": f"v{point.version}",
        "value": point.bounds.value * scale,
        "low": point.bounds.ci_low * scale,
        "high": point.bounds.ci_high * scale,
        "limit": point.limit * scale if point.limit is not None else None,
        "answer": _answer(point),
    }


def _answer(point: VersionPoint) -> str:
    return RULE_VERDICTS[point.verdict] if point.verdict else _NOT_JUDGED


def _version_summary(name: str, points: Sequence[VersionPoint]) -> str:
    last = points[-1]
    text = f"v{last.version} has {amount_of(name, last.bounds.value)}"
    if len(points) > 1:
        before = points[-2]
        text += f", v{before.version} had {amount_of(name, before.bounds.value)}"
    limit = f"; limit {amount_of(name, last.limit)} (dashed)" if last.limit is not None else ""
    better = "lower" if last.bounds.lower_is_better else "higher"
    return f"{text}{limit}; {better} is better."


def _version_cells(name: str, point: VersionPoint) -> tuple[str, ...]:
    return (
        f"v{point.version}",
        amount_of(name, point.bounds.value),
        interval(name, point.bounds.ci_low, point.bounds.ci_high),
        str(point.bounds.n),
        amount_of(name, point.limit) if point.limit is not None else "no limit",
        _answer(point),
    )
