"""Which generated images lie nearer to protected works than real images that were never trained on do.

The threshold is the similarity that a declared share of held-out real images exceeds: what is normal is measured, not
assumed. Each hit names both images, so that a person can look. ``background`` says how sure all that is.

Source of the score normalisation: Douze et al. (2021), "The 2021 Image Similarity Dataset and Challenge"; Pizzi et al.
(2022), "A Self-Supervised Descriptor for Image Copy Detection".
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from imprimatur_evaluators.errors import BadRequest, require_count
from imprimatur_evaluators.statistics.arrays import Array, Indices, as_array
from imprimatur_evaluators.statistics.intervals import Estimate, binomial_share
from imprimatur_evaluators.statistics.neighbours import check_neighbours, flat_index, nearest_works


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


def nearest(images: Any, works: Any) -> Nearest:
    """The nearest of works [p, d] for images [n, d] of unit length, by FAISS; in float64, ties to the first.

    >>> found = nearest([[1.0, 0.0], [0.6, 0.8]], [[0.0, 1.0], [1.0, 0.0]])
    >>> found.work.tolist(), found.similarity.tolist()
    ([1, 0], [1.0, 0.8])
    """
    rows = as_array(works)
    check_neighbours(1, len(rows))
    found = nearest_works(flat_index(rows), as_array(images), rows, 1)
    return Nearest(found.work[:, 0], found.similarity[:, 0])


def calibrate(held_out: Any, false_positive_rate: float) -> Threshold:
    """The threshold that a new real image exceeds with probability at most the rate, from held-out similarities [n].

    It is an order statistic, so the promise holds for every distribution; it needs 1 / rate - 1 held-out images.

    >>> calibrate([0.1, 0.2, 0.3, 0.4], 0.2).value
    0.4
    """
    similarities = as_array(held_out)
    rank = calibration_rank(len(similarities), false_positive_rate)
    return Threshold(float(np.sort(similarities)[rank - 1]), false_positive_rate, len(similarities))


def calibration_rank(n: int, false_positive_rate: float) -> int:
    """Which of ``n`` sorted similarities, counted from one, is the threshold; TooFew where there are too few."""
    if not 0 < false_positive_rate < 1:
        raise BadRequest("bad-option", f"a false-positive rate lies between 0 and 1 (got {false_positive_rate})")
    require_count("calibrating the similarity threshold", n, ceil(1 / false_positive_rate - 1e-9) - 1)
    return ceil((1 - false_positive_rate) * (n + 1) - 1e-9)


def share_above(similarities: Any, threshold: Threshold | float) -> Estimate:
    """The share of images [n] strictly above the threshold with its exact interval; lower is better, range [0, 1].

    Estimand: the share of all images of this generator above *this* threshold, which is taken as given.
    ``background.share_at_rate`` also carries that the threshold was calibrated on a sample.
    """
    found = as_array(similarities)
    value = threshold.value if isinstance(threshold, Threshold) else threshold
    return binomial_share(int((found > value).sum()), len(found))


def score_normalised(
    similarities: Any, images: Any, background: Any, *, beta: float = 1.0, neighbours: int | None = None
) -> Array:
    """Similarities [n] or [n, k] of images [n, d], less ``beta`` times how near each image lies to a background [b, d].

    How near is the mean cosine with all background images, or with the ``neighbours`` nearest of them: an image that
    resembles everything needs more to be called a copy. The order of works for one image stays. Normalise the
    held-out images in the same way before calibrating, against a background that holds none of them nor any work.

    >>> score_normalised([0.9, 0.9], [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0]], beta=0.5).round(6).tolist()
    [0.4, 0.9]
    """
    found, rows, real = as_array(similarities), as_array(images), as_array(background)
    count = len(real) if neighbours is None else neighbours
    check_neighbours(count, len(real))
    if count == len(real):
        near = (rows * real.mean(axis=0)).sum(axis=1)
    else:
        near = nearest_works(flat_index(real), rows, real, count).similarity.mean(axis=1)
    normal: Array = found - beta * near.reshape(-1, *[1] * (found.ndim - 1))
    return normal
