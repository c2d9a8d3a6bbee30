"""The share of look-alikes as a metric."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from imprimatur_evaluators.statistics.similarity import Threshold, nearest


class SimilarityShare(Metric):
    """The share of images more similar to a protected work than the threshold; range [0, 1], lower is better.

    Its states are two counts, so that processes merge by adding up. The works [p, d] are held by each.
    """

    full_state_update = False
    higher_is_better = False
    is_differentiable = False
    hits: Tensor
    images: Tensor

    def __init__(self, works: Tensor, threshold: Threshold | float, **options: Any) -> None:
        super().__init__(**options)
        self.works = works
        self.threshold = threshold.value if isinstance(threshold, Threshold) else threshold
        self.add_state("hits", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, features: Tensor) -> None:
        """Take in features [n, d] of generated images, of unit length."""
        found = nearest(features, self.works)
        self.hits += int((found.similarity > self.threshold).sum())
        self.images += len(found.similarity)

    def compute(self) -> Tensor:
        """The share over everything taken in."""
        return self.hits.double() / self.images
