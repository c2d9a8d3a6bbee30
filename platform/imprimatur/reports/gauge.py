"""An interval drawn against its limit: one small picture a requirement, the same on the page and in the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from imprimatur.policy.model import Bounds, Verdict
from imprimatur.reports import palette
from imprimatur.reports.words import amount_of, brief, is_share, measured

_WIDTH = 320
_LEFT, _RIGHT = 0, 312
_AXIS = 30
_COLOURS = {Verdict.ALLOW: palette.GOOD, Verdict.DENY: palette.BAD, Verdict.UNDECIDED: palette.OPEN}


@dataclass(frozen=True)
class Scale:
    """The piece of the number line that is drawn."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Where ``value`` stands, in drawing units, rounded so that the same numbers give the same bytes."""
        share = (value - self.low) / (self.high - self.low)
        return round(_LEFT + (_RIGHT - _LEFT) * min(max(share, 0.0), 1.0), 1)


def gauge(name: str, bounds: Bounds, limit: float, verdict: Verdict, production: Bounds | None = None) -> str:
    """An SVG: the allowed side shaded up to the limit, the interval as a bar, the value as a dot, production hollow."""
    scale = _scale(name, bounds, limit, production)
    colour = _COLOURS[verdict]
    edge = scale.x(limit)
    start, end = (_LEFT, edge) if bounds.lower_is_better else (edge, _RIGHT)
    low, high, value = scale.x(bounds.ci_low), scale.x(bounds.ci_high), scale.x(bounds.value)
    said = f"{measured(name, bounds)}; limit {amount_of(name, limit)}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gauge" viewBox="0 0 {_WIDTH} 62" width="{_WIDTH}" '
        f'height="62" role="img" aria-label="{escape(said, quote=True)}" font-family="sans-serif" font-size="11">',
        f'<rect x="{start}" y="{_AXIS - 13}" width="{max(end - start, 0):.1f}" height="26" rx="2" '
        f'fill="{palette.ZONE}"/>',
        f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{_AXIS}" y2="{_AXIS}" stroke="{palette.RULE}"/>',
        f'<line x1="{edge}" x2="{edge}" y1="{_AXIS - 17}" y2="{_AXIS + 17}" stroke="{palette.INK}" stroke-width="1.5" '
        'stroke-dasharray="3 2"/>',
        _limit_label(edge, f"limit {brief(name, limit)}"),
        *_ends(name, scale),
        f'<line x1="{low}" x2="{max(high, low + 1):.1f}" y1="{_AXIS}" y2="{_AXIS}" stroke="{colour}" '
        'stroke-width="5" stroke-linecap="round"/>',
        _diamond(scale.x(production.value)) if production else "",
        f'<circle cx="{value}" cy="{_AXIS}" r="5.5" fill="{colour}" stroke="{palette.PAPER}" stroke-width="1.5"/>',
        "</svg>",
    ]
    return "".join(parts)


def _scale(name: str, bounds: Bounds, limit: float, production: Bounds | None) -> Scale:
    shown = [bounds.ci_low, bounds.ci_high, bounds.value, limit, *([production.value] if production else [])]
    low, high = min(shown), max(shown)
    low = -_round_end(-low) if low < 0 else 0.0
    if is_share(name) and (not bounds.lower_is_better or high > 0.5):
        return Scale(low, max(1.0, high))
    return Scale(low, _round_end(high) if high > 0 else low + 1.0)


def _round_end(high: float) -> float:
    """A round number a little above ``high``.

    >>> _round_end(0.295), _round_end(0.05), _round_end(0.96)
    (0.4, 0.06, 1.2)
    """
    unit: float = 10.0 ** math.floor(math.log10(high))
    steps = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12)
    return next(round(step * unit, 12) for step in steps if step * unit >= 1.06 * high)


def _limit_label(edge: float, text: str) -> str:
    anchor = "start" if edge < 40 else "end" if edge > _WIDTH - 60 else "middle"
    return f'<text x="{edge}" y="9" text-anchor="{anchor}" fill="{palette.INK}" font-weight="600">{escape(text)}</text>'


def _ends(name: str, scale: Scale) -> list[str]:
    ends = ((_LEFT, "start", scale.low), (_RIGHT, "end", scale.high))
    return [
        f'<text x="{x}" y="59" text-anchor="{anchor}" fill="{palette.SOFT}">{escape(brief(name, end))}</text>'
        for x, anchor, end in ends
    ]


def _diamond(x: float) -> str:
    return (
        f'<path d="M{x} {_AXIS - 8}L{x + 6} {_AXIS}L{x} {_AXIS + 8}L{x - 6} {_AXIS}Z" fill="none" '
        f'stroke="{palette.INK}" stroke-width="1.5"/>'
    )
