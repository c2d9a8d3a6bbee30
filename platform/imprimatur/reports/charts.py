"""Charts: drawn on the server as SVG, each with a question, a summary in one line, and its data as a table and CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from html import escape
from typing import Any, ParamSpec

import altair as alt
import vl_convert

from imprimatur.reports import palette

_Asks = ParamSpec("_Asks")
_REMEMBERED = 512
_FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif"
_ARIA = re.compile(r' (?:role|aria-[a-z]+)="[^"]*"')
_OUTER = re.compile(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"[^>]*>')


@dataclass(frozen=True)
class Chart:
    """One chart: ``question`` is its title, ``columns`` and ``rows`` its data as people read them."""

    id: str
    question: str
    summary: str
    svg: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    csv_path: str = ""


@dataclass(frozen=True)
class _Asked:
    """A call, told from others by what its arguments say."""

    text: str
    arguments: tuple[Any, ...] = field(compare=False)
    named: Mapping[str, Any] = field(compare=False)


def remembered(chart: Callable[_Asks, Chart]) -> Callable[_Asks, Chart]:
    """``chart`` as a function that draws the same data once: Altair takes longer to say what to draw than a whole
    page may take.
    """

    @lru_cache(_REMEMBERED)
    def drawn(asked: _Asked) -> Chart:
        return chart(*asked.arguments, **asked.named)

    @wraps(chart)
    def known(*arguments: _Asks.args, **named: _Asks.kwargs) -> Chart:
        return drawn(_Asked(repr((arguments, named)), arguments, named))

    return known


def csv_of(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows as CSV; a cell that a spreadsheet would run as a formula gets an apostrophe in front.

    >>> csv_of(["a", "b"], [["1", "=x()"]])
    "a,b\\r\\n1,'=x()\\r\\n"
    """
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow(columns)
    writer.writerows([[_inert(cell) for cell in row] for row in rows])
    return sink.getvalue()


def chart_of(rows: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """A chart over ``rows``, to be given marks and channels."""
    return alt.Chart(alt.Data(values=list(rows)))  # type: ignore[no-untyped-call]  # Altair leaves this one untyped


def draw(layers: Sequence[alt.Chart], *, width: int, height: int, label: str) -> str:
    """``layers`` over each other as an SVG in the house's look; ``label`` is what a screen reader says."""
    spec = alt.layer(*layers).to_dict(validate=False)  # vl-convert refuses what is wrong
    spec.update(width=width, height=height, background=None, config=_LOOK)
    return _labelled(_render(json.dumps(spec, sort_keys=True)), label)


@lru_cache(_REMEMBERED)
def _render(spec: str) -> str:
    return str(vl_convert.vegalite_to_svg(json.loads(spec)))


def _labelled(svg: str, label: str) -> str:
    """One picture with one label: the parts' own roles would be read out mark by mark."""
    bare = _ARIA.sub("", svg)
    size = _OUTER.search(bare)
    if size is None:
        return bare
    width, height = size[1], size[2]
    outer = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(label, quote=True)}">'
    )
    return bare[: size.start()] + outer + bare[size.end() :]


def _inert(cell: str) -> str:
    risky = cell[:1] in ("=", "+", "@", "\t", "\r") or (cell[:1] == "-" and not re.fullmatch(r"-[\d.,]+%?", cell))
    return f"'{cell}" if risky else cell


_AXIS = {
    "labelFont": _FONT,
    "titleFont": _FONT,
    "labelFontSize": 12,
    "titleFontSize": 12,
    "titleFontWeight": "normal",
    "labelColor": palette.SOFT,
    "titleColor": palette.SOFT,
    "gridColor": palette.RULE,
    "domainColor": palette.RULE,
    "tickColor": palette.RULE,
    "titlePadding": 10,
    "labelPadding": 4,
}
_LOOK: Mapping[str, Any] = {
    "font": _FONT,
    "view": {"stroke": None},
    "axis": _AXIS,
    "axisX": {"grid": False, "labelAngle": 0, "labelOverlap": "greedy", "labelSeparation": 6},
    "axisY": {"tickCount": 5, "domain": False, "ticks": False},
    "legend": {
        "labelFont": _FONT,
        "titleFont": _FONT,
        "labelFontSize": 12,
        "labelColor": palette.INK,
        "title": None,
        "orient": "top",
        "symbolSize": 90,
        "offset": 4,
    },
}
