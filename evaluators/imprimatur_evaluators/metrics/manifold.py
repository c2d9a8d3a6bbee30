"""Precision, recall, density and coverage as a metric."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from imprimatur_evaluators.statistics.manifold import precision_recall_density_coverage


class PrecisionRecallDensityCoverage(Metric):
    """The four scores of neighbourhoods of k; higher is better. Every pair counts, so the features are the state."""

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    real: list[Tensor]
    generated: list[Tensor]

    def __init__(self, k: int = 5, **options: Any) -> None:
        super().__init__(**options)
        self.k = k
        self.add_state("real", [], dist_reduce_fx="cat")
        self.add_state("generated", [], dist_reduce_fx="cat")

    def update(self, features: Tensor, *, real: bool) -> None:
        """Take in features [n, d] of one side."""
        (self.real if real else self.generated).append(features.detach().double())

    def compute(self) -> dict[str, Tensor]:
        """The scores by name, between the sides as they stand."""
        found = precision_recall_density_coverage(dim_zero_cat(self.real), dim_zero_cat(self.generated), self.k)
        return {
            name: torch.tensor(getattr(found, name).value, dtype=torch.float64)
            for name in ("precision", "recall", "density", "coverage")
        }
