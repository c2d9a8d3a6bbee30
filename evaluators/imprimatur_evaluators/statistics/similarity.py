"""Which generated images lie nearer to protected works than real images that were never trained on do.

The threshold is the similarity that a declared share of held-out real images exceeds: what is normal is measured, not
assumed. Each hit names both images, so that a person can look.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from imprimatur_evaluators.errors import BadRequest, require_count
from imprimatur_evaluators.statistics.arrays import Array, Indices
from imprimatur_evaluators.statistics.intervals import Estimate, binomial_share

_CANDIDATES = 8


@dataclass(frozen=True, eq=False)
class Nearest:
    """For each image [n]: the index of the most similar work, and the cosine with it."""

    work: Indices
    similarity: Array


@dataclass(frozen=True)
class Threshold:
    """The similarity above which an image is a hit, the rate it was calibrated to, and on how many held-out reals."""

    value: float
    false_positive_rate: float
    n: int


def nearest(images: Array, works: Array) -> Nearest:
    """The nearest of works [p, d] for images [n, d] of unit length, by FAISS; in float64, ties to the first."""
    import faiss

    index = faiss.IndexFlatIP(works.shape[1])
    index.add(np.ascontiguousarray(works, dtype=np.float32))
    _, candidates = index.search(np.ascontiguousarray(images, dtype=np.float32), min(_CANDIDATES, len(works)))
    candidates = np.sort(candidates, axis=1)
    cosines = np.einsum("nd,ncd->nc", images, works[candidates])
    best = cosines.argmax(axis=1)
    rows = np.arange(len(images))
    return Nearest(candidates[rows, best].astype(np.intp), cosines[rows, best])


def calibrate(held_out: Array, false_positive_rate: float) -> Threshold:
    """The threshold that a new real image exceeds with probability at most the rate, from held-out similarities [n].

    It is an order statistic, so the promise holds for every distribution; it needs 1 / rate - 1 held-out images.
    """
    if not 0 < false_positive_rate < 1:
        raise BadRequest("bad-option", f"a false-positive rate lies between 0 and 1 (got {false_positive_rate})")
    require_count("calibrating the similarity threshold", len(held_out), ceil(1 / false_positive_rate - 1e-9) - 1)
    rank = ceil((1 - false_positive_rate) * (len(held_out) + 1) - 1e-9)
    return Threshold(float(np.sort(held_out)[rank - 1]), false_positive_rate, len(held_out))


def share_above(similarities: Array, threshold: Threshold) -> Estimate:
    """The share of images [n] above the threshold with its exact interval; given the threshold, lower is better."""
    return binomial_share(int((similarities > threshold.value).sum()), len(similarities))
