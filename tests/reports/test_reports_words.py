"""Numbers with units, scores with honest names, and verdicts in the house's three words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprimatur.policy.model import Bounds, Verdict
from imprimatur.reports.changes import Trend, _difference
from imprimatur.reports.charts import csv_of
from imprimatur.reports.gauge import gauge
from imprimatur.reports.palette import themed
from imprimatur.reports.words import amount_of, brief, money, score_name, unit_of

_FINITE = st.floats(min_value=0.0, max_value=50.0, allow_nan=False)


def bounds(value: float, low: float, high: float) -> Bounds:
    """A score where lower is better."""
    return Bounds(value, low, high, 500, lower_is_better=True)


@pytest.mark.parametrize("name", ["fid/digits-clip", "kid/digits-clip", "clipscore/digits-clip"])
def test_a_published_name_is_given_to_no_other_network(name: str) -> None:
    said = str(score_name(name))

    assert not said.startswith(("Image quality", "Prompt following"))


def test_the_published_networks_keep_their_names() -> None:
    assert str(score_name("fid", lower_is_better=True)) == "Image quality (FID, lower is better)"
    assert "CLIPScore" in str(score_name("clipscore", lower_is_better=False))


@pytest.mark.parametrize("name", ["frechet/x", "kernel/x", "density/x", "coverage/x", "alignment/x", "disparity/x"])
def test_every_score_has_a_unit(name: str) -> None:
    assert unit_of(name)
    assert amount_of(name, 0.5)


@given(_FINITE, _FINITE, _FINITE)
def test_a_difference_s_interval_holds_the_difference(value: float, reach: float, before: float) -> None:
    now, old = bounds(value, value - reach, value + reach), bounds(before, before - reach, before + reach)

    found = _difference("frechet/x", old, now)

    assert found.ci_low <= found.value <= found.ci_high
    assert math.isclose(found.ci_high - found.value, math.hypot(reach, reach), rel_tol=1e-6, abs_tol=1e-9)


def test_a_difference_is_better_or_worse_only_where_its_interval_leaves_zero_out() -> None:
    low, high = bounds(0.1, 0.09, 0.11), bounds(0.3, 0.28, 0.32)

    assert _difference("frechet/x", high, low).trend is Trend.BETTER
    assert _difference("frechet/x", low, high).trend is Trend.WORSE
    assert _difference("frechet/x", low, bounds(0.105, 0.09, 0.12)).trend is Trend.UNCLEAR


@given(_FINITE, _FINITE, st.floats(min_value=0.001, max_value=50))
def test_a_gauge_stays_inside_its_frame(value: float, reach: float, limit: float) -> None:
    drawn = gauge("frechet/x", bounds(value, value - reach, value + reach), limit, Verdict.ALLOW)

    marks = [float(part.split('"')[1]) for part in drawn.split() if part.startswith(("cx=", "x1=", "x2="))]
    assert all(0 <= mark <= 320 for mark in marks)
    assert f"limit {brief('frechet/x', limit)}" in drawn


def test_a_gauge_says_its_numbers_to_those_who_do_not_see_it() -> None:
    drawn = gauge("similarity/x", bounds(0.262, 0.229, 0.295), 0.05, Verdict.DENY)

    assert 'aria-label="26.20% (95% interval 22.90 to 29.50%, n = 500); limit 5.00%"' in drawn


def test_colours_of_a_drawing_follow_the_reader_s_theme() -> None:
    drawn = themed(gauge("similarity/x", bounds(0.262, 0.229, 0.295), 0.05, Verdict.DENY))

    assert 'fill="#' not in drawn
    assert 'stroke="#' not in drawn
    assert "var(--bad, #a6261f)" in drawn


@pytest.mark.parametrize("cell", ["=1+1", "+1", "@SUM(A1)", "-cmd|' /C calc'!A0", "\tx"])
def test_a_spreadsheet_runs_nothing_from_a_csv(cell: str) -> None:
    line = csv_of(["a"], [[cell]]).splitlines()[1]

    assert line.strip('"').startswith("'")


def test_negative_numbers_in_a_csv_stay_numbers() -> None:
    assert csv_of(["a"], [["-0.0014"]]).splitlines()[1] == "-0.0014"


def test_small_money_is_not_nothing() -> None:
    assert money(0.00042, "EUR") == "0.0004 EUR"
    assert money(0.000001, "EUR") == "under 0.0001 EUR"
