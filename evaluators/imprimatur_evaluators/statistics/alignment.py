"""How well images match their prompts, in the joint space of an image and a text network.

    retrieval accuracy  share of images whose own prompt is nearer than every distractor      range [0, 1]
    mean cosine         mean cosine between an image and its own prompt                       range [-1, 1]

Higher is better for both. A tie with a distractor counts against the image. With CLIP, 100 x mean cosine is the
CLIPScore of torchmetrics and 2.5 x max(cosine, 0) that of Hessel et al. (2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imprimatur_evaluators.statistics.arrays import Array, Indices
from imprimatur_evaluators.statistics.intervals import Estimate, binomial_share, student_mean


@dataclass(frozen=True, eq=False)
class Matches:
    """For each image [n]: cosine with its own prompt, and by how much that exceeds the nearest distractor's."""

    cosine: Array
    margin: Array


def matches(images: Array, prompts: Array, own: Indices) -> Matches:
    """How images [n, d] match prompts [p, d], p >= 2, where ``own`` [n] says which prompt each image was made for."""
    cosines = _unit(images) @ _unit(prompts).T
    rows = np.arange(len(images))
    mine = cosines[rows, own]
    cosines[rows, own] = -np.inf
    return Matches(mine, mine - cosines.max(axis=1))


def retrieval_accuracy(found: Matches) -> Estimate:
    """The share of images whose own prompt ranks first, with the exact binomial interval."""
    return binomial_share(int((found.margin > 0).sum()), len(found.margin))


def mean_cosine(found: Matches) -> Estimate:
    """The mean cosine between images and their own prompts, with Student's interval."""
    return student_mean(found.cosine)


def nearest_prompt(images: Array, prompts: Array) -> Indices:
    """For each image [n, d] the index [n] of the prompt [p, d] that it lies nearest to; the first one of a tie."""
    nearest: Indices = (_unit(images) @ _unit(prompts).T).argmax(axis=1)
    return nearest


def _unit(rows: Array) -> Array:
    lengths: Array = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, np.finfo(np.float64).tiny)
