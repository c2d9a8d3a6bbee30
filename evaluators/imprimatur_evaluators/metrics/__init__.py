"""torchmetrics shells over the statistics: update with features, merge across processes, compute.

They need torch; the statistics do not.
"""

from __future__ import annotations

from imprimatur_evaluators.metrics.alignment import RetrievalAccuracy
from imprimatur_evaluators.metrics.frechet import FrechetDistance
from imprimatur_evaluators.metrics.kernel import KernelDistance
from imprimatur_evaluators.metrics.manifold import PrecisionRecallDensityCoverage
from imprimatur_evaluators.metrics.similarity import SimilarityShare

__all__ = [
    "FrechetDistance",
    "KernelDistance",
    "PrecisionRecallDensityCoverage",
    "RetrievalAccuracy",
    "SimilarityShare",
]
