"""Pure functions on float64 arrays: each number comes with an interval that covers a stated estimand. No torch here."""

from __future__ import annotations

from imprimatur_evaluators.statistics.frechet import Reference, frechet_distance
from imprimatur_evaluators.statistics.frechet_estimates import frechet_distance_infinity, frechet_estimate
from imprimatur_evaluators.statistics.kernel import cmmd, kernel_distance
from imprimatur_evaluators.statistics.manifold import precision_recall_density_coverage
from imprimatur_evaluators.statistics.moments import Moments

__all__ = [
    "Moments",
    "Reference",
    "cmmd",
    "frechet_distance",
    "frechet_distance_infinity",
    "frechet_estimate",
    "kernel_distance",
    "precision_recall_density_coverage",
]
