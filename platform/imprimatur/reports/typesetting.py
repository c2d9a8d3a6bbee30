"""Jinja with the house's words: one environment for pages and for the HTML report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from imprimatur.core.digests import short
from imprimatur.policy.model import Bounds
from imprimatur.reports import words
from imprimatur.reports.gauge import gauge
from imprimatur.reports.palette import themed
from imprimatur.reports.requirements import Requirement

_TEMPLATES = Path(__file__).parent / "templates"


def environment(*folders: Path) -> Environment:
    """An environment that escapes everything, knows the words as filters, and refuses names that are not there."""
    made = Environment(
        loader=FileSystemLoader([*folders, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(_FILTERS)
    made.globals.update(
        VERDICTS=words.VERDICTS, RULE_VERDICTS=words.RULE_VERDICTS, score_name=words.score_name, gauge_of=gauge_of
    )
    return made


def drawing(svg: str) -> Markup:
    """An SVG that our own code drew, in the reader's colours."""
    return Markup(themed(svg))  # noqa: S704 -- every text in a drawing was escaped when it was drawn


def gauge_of(requirement: Requirement) -> Markup:
    """The requirement's interval against its limit, or nothing where it has none."""
    result, bounds = requirement.result, requirement.bounds
    if bounds is None or result.limit is None or result.score is None:
        return Markup("")
    return drawing(gauge(result.score, bounds, result.limit, result.verdict, requirement.production))


def _ends(bounds: Bounds, name: str) -> str:
    return words.interval(name, bounds.ci_low, bounds.ci_high)


_FILTERS: dict[str, Callable[..., Any]] = {
    "short": short,
    "drawing": drawing,
    "percent": words.percent,
    "duration": words.duration,
    "moment": words.moment,
    "money": words.money,
    "size": words.size,
    "listed": words.listed,
    "counted": words.counted,
    "amount_of": lambda value, name: words.amount_of(name, value),
    "difference_of": lambda value, name: words.difference_of(name, value),
    "ends": _ends,
}
