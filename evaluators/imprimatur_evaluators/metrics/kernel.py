"""The kernel distance as a metric."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.kernel import kernel_distance


class KernelDistance(Metric):
    """The squared maximum mean discrepancy of real and generated features, unbiased; lower is better.

    A U-statistic needs every pair, so that the features themselves are the state.
    """

    full_state_update = False
    higher_is_better = False
    is_differentiable = False
    real: list[Tensor]
    generated: list[Tensor]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("real", [], dist_reduce_fx="cat")
        self.add_state("generated", [], dist_reduce_fx="cat")

    def update(self, features: Tensor, *, real: bool) -> None:
        """Take in features [n, d] of one side."""
        (self.real if real else self.generated).append(features.detach().double())

    def compute(self) -> Tensor:
        """The distance between the sides as they stand."""
        distance = kernel_distance(_rows(self.real), _rows(self.generated)).value
        return torch.tensor(distance, dtype=torch.float64)


def _rows(parts: list[Tensor]) -> Array:
    rows: Array = dim_zero_cat(parts).cpu().numpy()
    return rows
