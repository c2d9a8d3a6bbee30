"""How well images match their prompts, in the joint space of an image and a text network.

    retrieval accuracy  share of images whose own prompt is nearer than every distractor      range [0, 1]
    mean cosine         mean cosine between an image and its own prompt                       range [-1, 1]
    CLIP score          100 x mean cosine, not below 0, as torchmetrics gives it              range [0, 100]
    Hessel's score      mean of 2.5 x cosine, each not below 0 (Hessel et al., 2021)          range [0, 2.5]

Higher is better for all. A tie with a distractor counts against the image. The last two are CLIPScore where the
features are CLIP's. Estimands: where every prompt has two images or more, the mean over these prompts, as often as each
was drawn; else the mean over all prompts that these were drawn from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imprimatur_evaluators.statistics.arrays import Array, Indices, as_array
from imprimatur_evaluators.statistics.intervals import Estimate, Interval, binomial_share, stratified_mean, student_mean


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


def mean_over_prompts(values: Any, own: Any) -> Estimate:
    """The mean of values [n] of images, where ``own`` [n] says which prompt each was made for.

    Where every prompt has two images or more, the interval is for these prompts: images vary within their own prompt
    only. Otherwise prompts are a sample, and it is Student's over all images.

    >>> mean_over_prompts([1.0, 1.2, 3.0, 3.2], [0, 0, 1, 1]).value
    2.1
    """
    numbers, prompts = as_array(values), np.asarray(own)
    repeated = np.unique(prompts, return_counts=True)[1].min() >= 2
    return stratified_mean(numbers, prompts) if repeated else student_mean(numbers)


def mean_cosine(found: Matches, own: Any | None = None) -> Estimate:
    """The mean cosine between images and their own prompts; without ``own`` prompts, Student's interval."""
    return student_mean(found.cosine) if own is None else mean_over_prompts(found.cosine, own)


def clip_score(found: Matches, own: Any) -> Estimate:
    """100 x the mean cosine, not below zero: CLIPScore as torchmetrics gives it, where the features are CLIP's."""
    return _scaled(mean_over_prompts(found.cosine, own), 100.0)


def clip_score_hessel(found: Matches, own: Any) -> Estimate:
    """The mean of 2.5 x cosine, each not below zero: CLIPScore of Hessel et al. (2021) where features are CLIP's."""
    return _scaled(mean_over_prompts(np.maximum(found.cosine, 0.0), own), 2.5)


def _scaled(mean: Estimate, scale: float) -> Estimate:
    interval = Interval(scale * mean.interval.low, scale * mean.interval.high).clipped(0.0)
    return Estimate(max(scale * mean.value, 0.0), interval, mean.n, max(scale * mean.plug_in, 0.0))


def nearest_prompt(images: Array, prompts: Array) -> Indices:
    """For each image [n, d] the index [n] of the prompt [p, d] that it lies nearest to; the first one of a tie."""
    nearest: Indices = (_unit(images) @ _unit(prompts).T).argmax(axis=1)
    return nearest


def _unit(rows: Array) -> Array:
    lengths: Array = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, np.finfo(np.float64).tiny)
