"""Retrieval accuracy as a metric."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from imprimatur_evaluators.statistics.alignment import matches


class RetrievalAccuracy(Metric):
    """The share of images whose own prompt ranks first among the prompts; range [0, 1], higher is better."""

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    hits: Tensor
    images: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("hits", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, features: Tensor, prompts: Tensor, own: Tensor) -> None:
        """Take in image features [n, d], prompt features [p, d] and the index [n] of each image's own prompt."""
        rows, columns = (side.detach().double().cpu().numpy() for side in (features, prompts))
        found = matches(rows, columns, own.cpu().numpy())
        self.hits += int((found.margin > 0).sum())
        self.images += len(found.margin)

    def compute(self) -> Tensor:
        """The share over everything taken in."""
        return self.hits.double() / self.images
