"""Pure functions on float64 arrays: each number comes with an interval that covers a stated estimand. No torch here."""

from __future__ import annotations

from imprimatur_evaluators.statistics.frechet import Moments, frechet_distance
from imprimatur_evaluators.statistics.kernel import kernel_distance
from imprimatur_evaluators.statistics.manifold import density_coverage

__all__ = ["Moments", "density_coverage", "frechet_distance", "kernel_distance"]
