"""The moments of features, which merge across shards without losing digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imprimatur_evaluators.statistics.arrays import Array, as_array


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean [d] and scatter [d, d] (sum of centred outer products) of features; merging equals one pass."""

    n: int
    mean: Array
    scatter: Array

    @classmethod
    def from_features(cls, features: Any) -> Moments:
        """The moments of ``features`` [n, d], n >= 1.

        >>> Moments.from_features([[0.0, 1.0], [2.0, 1.0]]).covariance.tolist()
        [[2.0, 0.0], [0.0, 0.0]]
        """
        rows = as_array(features)
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls(len(rows), mean, centred.T @ centred)

    @classmethod
    def empty(cls, width: int) -> Moments:
        """The moments of no features of this width: merging them changes nothing."""
        return cls(0, np.zeros(width), np.zeros((width, width)))

    @property
    def covariance(self) -> Array:
        """The unbiased covariance [d, d]; zero where there is one image only."""
        return self.scatter / max(self.n - 1, 1)

    @property
    def trace(self) -> float:
        """The trace of the covariance: the features' total variance."""
        return float(np.trace(self.scatter)) / max(self.n - 1, 1)

    def update(self, features: Any) -> Moments:
        """The moments of what was seen so far and of ``features`` [n, d]."""
        return self.merge(Moments.from_features(features))

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets together (Chan, Golub and LeVeque, 1979); keeps the digits that squares lose."""
        n = self.n + other.n
        step = other.mean - self.mean
        part = other.n / max(n, 1)
        scatter = self.scatter + other.scatter + np.outer(step, step) * (self.n * part)
        return Moments(n, self.mean + step * part, scatter)

    def without(self, part: Moments) -> Moments:
        """The moments of the rest, where ``part`` is a true part of this set: merging undone."""
        n = self.n - part.n
        mean = self.mean + (self.mean - part.mean) * (part.n / n)
        step = part.mean - mean
        return Moments(n, mean, self.scatter - part.scatter - np.outer(step, step) * (n * part.n / self.n))
