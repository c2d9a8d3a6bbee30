"""What a rule's result is in words: values with their intervals, limits, and what would settle an open question."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from imprimatur.policy.facts import SHARES, comparison
from imprimatur.policy.model import Bounds, Rule, Verdict

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_MOST_IMAGES = 1_000_000

Param = float | int | str | bool


@dataclass(frozen=True)
class Shown:
    """A score and how its numbers are written: shares in percent, all others with three digits."""

    name: str
    bounds: Bounds

    @property
    def percent(self) -> bool:
        """Whether the score is a share of images."""
        return self.name.partition("/")[0] in SHARES

    @property
    def value(self) -> str:
        """The estimate, e.g. ``1.26%``."""
        return self.number(self.bounds.value)

    @property
    def interval(self) -> str:
        """The interval, e.g. ``95% interval 0.97-1.61%``."""
        low, high = self.number(self.bounds.ci_low), self.number(self.bounds.ci_high)
        dash = " to " if "-" in low + high else "-"
        return f"95% interval {low.removesuffix('%')}{dash}{high}"

    def number(self, number: float) -> str:
        """``number`` in the score's unit."""
        return f"{100 * number:.2f}%" if self.percent else plain(number)


def plain(number: float) -> str:
    """A number with at least three digits that mean something.

    >>> plain(18.94), plain(0.000123), plain(2.5), plain(5000.0)
    ('18.9', '0.000123', '2.50', '5,000')
    >>> plain(0.1), plain(0.0)
    ('0.100', '0.00')
    """
    size = abs(number)
    if size >= 100:
        return f"{number:,.0f}"
    if size >= 10:
        return f"{number:.1f}"
    return f"{number:.2f}" if size >= 1 else f"{number:#.3g}"


def sentence(rule: Rule, verdict: Verdict, shown: Shown | None, params: Mapping[str, Param], *, missing: str) -> str:
    """One sentence for people about what ``rule`` came to. A denial is told in the rule's own words."""
    if verdict is Verdict.DENY:
        return _PLACEHOLDER.sub(lambda found: _filled(found[1], shown, params), rule.message)
    compared = comparison(rule.expr)
    limit = params[compared.param] if compared else None
    if shown is None or not isinstance(limit, int | float):
        return f"{rule.title}: met" if verdict is Verdict.ALLOW else f"{rule.title}: cannot be decided, {missing}"
    measured = f"{rule.title} {shown.value} ({shown.interval})"
    if verdict is Verdict.ALLOW:
        return f"{measured} is within the limit {shown.number(limit)}"
    return f"{measured} crosses the limit {shown.number(limit)}. {_settling(shown.bounds, limit)}"


def images_to_settle(bounds: Bounds, limit: float) -> int | None:
    """About how many images would narrow the interval to one side of ``limit``: its half-width shrinks as 1/sqrt(n).

    None where the estimate lies on the limit itself, or more than a million images would not do.

    >>> images_to_settle(Bounds(18.9, 17.6, 20.4, 5000, True), 20.0)
    9298
    """
    distance = abs(bounds.value - limit)
    reach = bounds.ci_high - bounds.value if limit > bounds.value else bounds.value - bounds.ci_low
    if distance == 0 or reach <= 0:
        return None
    needed = math.ceil(bounds.n * (reach / distance) ** 2)
    return needed if bounds.n < needed <= _MOST_IMAGES else None


def _settling(bounds: Bounds, limit: float) -> str:
    needed = images_to_settle(bounds, limit)
    used = f"{bounds.n:,} were used"
    if needed is None:
        return f"More images alone will not settle it; {used}."
    return f"About {_rounded(needed):,} images should settle it; {used}."


def _rounded(number: int) -> int:
    """``number`` rounded up to two digits: an estimate should look like one."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // unit) * unit


def _filled(name: str, shown: Shown | None, params: Mapping[str, Param]) -> str:
    if name.startswith("params."):
        return _limit(params[name.removeprefix("params.")], shown)
    if shown is None:
        return "(not measured)"
    if name == "interval":
        return shown.interval
    if name == "n":
        return f"{shown.bounds.n:,}"
    return shown.number(getattr(shown.bounds, name))


def _limit(param: Param, shown: Shown | None) -> str:
    if isinstance(param, bool | str):
        return str(param)
    return shown.number(param) if shown and isinstance(param, float) else plain(param)
