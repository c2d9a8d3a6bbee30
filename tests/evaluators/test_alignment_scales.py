"""CLIPScore's two published scales, and intervals that know which images share a prompt."""

from __future__ import annotations

import numpy as np
import pytest

from imprimatur_evaluators.statistics.alignment import Matches, clip_score, clip_score_hessel, mean_over_prompts
from imprimatur_evaluators.statistics.arrays import Array, Indices
from imprimatur_evaluators.statistics.intervals import Estimate
from long_forms import Count
from simulation import LEAST, MOST, coverage


def _matches(cosine: Array) -> Matches:
    return Matches(cosine, np.zeros(len(cosine)))


def test_the_scales_are_the_published_ones() -> None:
    cosine, own = np.array([0.3, 0.2, -0.1, 0.4]), np.array([0, 0, 1, 1])
    assert clip_score(_matches(cosine), own).value == pytest.approx(100 * 0.2)
    assert clip_score_hessel(_matches(cosine), own).value == pytest.approx(2.5 * 0.9 / 4)


def test_torchmetrics_takes_the_mean_before_it_cuts_at_zero() -> None:
    cosine, own = np.array([-0.3, -0.2]), np.array([0, 1])
    found = clip_score(_matches(cosine), own)
    assert (found.value, found.interval.low) == (0.0, 0.0)


FIXED = np.repeat(np.arange(10), 30)
EFFECTS = np.linspace(-0.1, 0.1, 10)


def _fixed_prompts(rng: np.random.Generator) -> Estimate:
    return mean_over_prompts(0.25 + EFFECTS[FIXED] + 0.05 * rng.standard_t(5, size=300), FIXED)


def _drawn_prompts(rng: np.random.Generator) -> Estimate:
    own: Indices = np.arange(200)
    return mean_over_prompts(0.25 + 0.1 * rng.normal(size=200) + 0.05 * rng.normal(size=200), own)


@pytest.mark.long_form
@pytest.mark.parametrize("draw", [_fixed_prompts, _drawn_prompts])
def test_the_interval_covers_the_mean(draw, count: Count) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(7)
    found = coverage([draw(rng).interval for _ in range(count(400, 2000))], 0.25)
    assert LEAST <= found <= MOST


def test_what_lies_between_fixed_prompts_does_not_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    noise = 0.05 * rng.normal(size=300)
    apart, alike = (mean_over_prompts(shift * EFFECTS[FIXED] + noise, FIXED).interval for shift in (5.0, 0.0))
    assert apart.high - apart.low == pytest.approx(alike.high - alike.low, rel=1e-9)
