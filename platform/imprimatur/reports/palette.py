"""The colours of every drawing. A drawing is made in the light palette; a page lets the reader's theme replace them."""

from __future__ import annotations

import re

INK = "#23211d"
SOFT = "#6b665d"
RULE = "#d9d4c8"
PAPER = "#ffffff"
ACCENT = "#2f4f86"
SECOND = "#a8752b"
THIRD = "#3d8076"
GOOD = "#1d6b41"
BAD = "#a6261f"
OPEN = "#8a5a05"
ZONE = "#dfeee4"
MUTED = "#9aa0a8"

_VARIABLES = {
    INK: "--ink",
    SOFT: "--soft",
    RULE: "--line",
    PAPER: "--card",
    ACCENT: "--chart-1",
    SECOND: "--chart-2",
    THIRD: "--chart-3",
    GOOD: "--good",
    BAD: "--bad",
    OPEN: "--open",
    ZONE: "--zone",
    MUTED: "--muted",
}
_COLOUR = re.compile(r'(fill|stroke)="(#[0-9a-f]{6})"')


def themed(svg: str) -> str:
    """``svg`` with each colour of the palette replaced by a CSS variable that falls back to that colour.

    >>> themed('<path fill="#a6261f"/>')
    '<path fill="var(--bad, #a6261f)"/>'
    """
    return _COLOUR.sub(_variable, svg)


def _variable(found: re.Match[str]) -> str:
    attribute, colour = found[1], found[2]
    name = _VARIABLES.get(colour)
    return f'{attribute}="var({name}, {colour})"' if name else found[0]
