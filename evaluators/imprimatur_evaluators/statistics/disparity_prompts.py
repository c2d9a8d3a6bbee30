"""Disparity over many prompts: each prompt judged on its own, and the mean over prompts.

Shares pooled over prompts can hide skews that cancel: nurses one way and engineers the other. The mean over prompts of
each prompt's distance does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.disparity import Disparity, disparity, null_expectation, total_variation
from imprimatur_evaluators.statistics.intervals import LEVEL, Estimate, Interval, holm


@dataclass(frozen=True)
class PromptDisparities:
    """Each prompt's disparity, its p-value adjusted for asking of all prompts (Holm), and the mean over the prompts."""

    prompts: tuple[Disparity, ...]
    adjusted: tuple[float, ...]
    mean: Estimate
    null_expectation: float

    def flagged(self, level: float = 0.05) -> bool:
        """Whether some prompt differs from the target; a fair generator is flagged in at most ``level`` of runs."""
        return min(self.adjusted) <= level


def prompt_disparities(counts: Any, target: Array, *, seed: int, draws: int = 2000) -> PromptDisparities:
    """The disparities of counts [prompts, labels] from target [labels]; two prompts or more.

    Estimand of the mean: the mean distance over all prompts that these were drawn from. Prompts are resampled, then
    images within each, so that the interval (Student's, with the bootstrap's spread) carries both; the value is the
    plug-in mean less the bias that resampling images alone shows.
    """
    rows = np.asarray(counts, dtype=np.int64)
    if rows.ndim != 2 or len(rows) < 2 or np.any(rows.sum(axis=1) < 1):
        raise BadRequest("too-few-prompts", f"two or more prompts with a labelled image each (got {list(rows.shape)})")
    found = tuple(disparity(row, target, seed=seed, draws=draws) for row in rows)
    return PromptDisparities(
        found,
        tuple(holm([one.p_value for one in found])),
        mean_disparity(rows, target, seed=seed),
        float(np.mean([null_expectation(int(row.sum()), target) for row in rows])),
    )


def mean_disparity(counts: Any, target: Array, *, seed: int, draws: int = 400) -> Estimate:
    """The mean over prompts of each prompt's total variation, from counts [prompts, labels]; see above."""
    rows = np.asarray(counts, dtype=np.int64)
    rng = np.random.default_rng(seed)
    sizes = rows.sum(axis=1)
    shares = rows / sizes[:, None]
    picked = rng.integers(len(rows), size=(draws, len(rows)))
    both = _means(rng.multinomial(sizes[picked], shares[picked]), target)
    within = _means(rng.multinomial(sizes, shares, size=(draws, len(rows))), target)
    plug_in = float(total_variation(shares, target).mean())
    value = max(2 * plug_in - float(within.mean()), 0.0)
    margin = float(stats.t.isf((1 - LEVEL) / 2, len(rows) - 1) * both.std(ddof=1)) * np.sqrt(
        len(rows) / (len(rows) - 1)
    )
    interval = Interval(value - margin, value + margin).clipped(0.0, 1.0)
    return Estimate(value, interval, int(sizes.sum()), plug_in)


def _means(counts: Any, target: Array) -> Array:
    means: Array = total_variation(counts / counts.sum(axis=-1, keepdims=True), target).mean(axis=-1)
    return means
