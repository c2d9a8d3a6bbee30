"""The Frechet distance as a metric whose moments merge."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from imprimatur_evaluators.statistics.frechet import frechet_distance
from imprimatur_evaluators.statistics.moments import Moments


class FrechetDistance(Metric):
    """The Frechet distance between real and generated features; range [0, inf), lower is better.

    Each side is one float64 state of 1 + d + d^2 numbers (count, mean, scatter), so that processes merge by Chan's
    formula and never hold the features.
    """

    full_state_update = False
    higher_is_better = False
    is_differentiable = False
    real: Tensor
    generated: Tensor

    def __init__(self, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.width = width
        for side in ("real", "generated"):
            self.add_state(side, _packed(Moments.empty(width)), dist_reduce_fx=self._merged)

    def update(self, features: Tensor, *, real: bool) -> None:
        """Take in features [n, d] of one side."""
        side = "real" if real else "generated"
        before = getattr(self, side)
        seen = self._moments(before).update(features.detach().double().cpu().numpy())
        setattr(self, side, _packed(seen).to(before.device))

    def compute(self) -> Tensor:
        """The distance between the sides as they stand."""
        distance = frechet_distance(self._moments(self.real), self._moments(self.generated))
        return torch.tensor(distance, dtype=torch.float64)

    def _merged(self, states: Tensor) -> Tensor:
        """One state from the states [processes, 1 + d + d^2]."""
        moments = Moments.empty(self.width)
        for state in states:
            moments = moments.merge(self._moments(state))
        return _packed(moments).to(states.device)

    def _moments(self, state: Tensor) -> Moments:
        numbers = state.cpu().numpy()
        d = self.width
        return Moments(int(numbers[0]), numbers[1 : d + 1], numbers[d + 1 :].reshape(d, d))


def _packed(moments: Moments) -> Tensor:
    return torch.from_numpy(np.concatenate([[float(moments.n)], moments.mean, moments.scatter.ravel()]))
