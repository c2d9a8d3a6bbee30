"""Whether a generator gives training images back: several seeds a training caption, near-identical images found.

A model that has memorised what a caption stood beside draws the same image again and again; one that has not draws
different ones. So a caption counts as found where ``size`` of its images are all near-identical to each other, and as
extracted where, of those, one is near-identical to a training image as well.

The level of a caption is the largest similarity that the weakest pair of such a group reaches. What level is normal
is measured on groups of as many *real* images of one caption, so the declared rate is a rate of captions, not of pairs.

Source: Carlini et al. (2023), "Extracting Training Data from Diffusion Models".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imprimatur_evaluators.errors import BadRequest, TooFew
from imprimatur_evaluators.statistics.arrays import Array, Indices, as_array
from imprimatur_evaluators.statistics.intervals import Estimate, binomial_share
from imprimatur_evaluators.statistics.similarity import Threshold, calibrate, nearest


@dataclass(frozen=True)
class CaptionGroup:
    """What one caption's images show.

    ``images`` are the rows of a group of near-identical ones, empty where none is large enough. ``image`` and
    ``training`` are the most similar pair of one of them and a training image; None where nothing was compared.
    """

    caption: str
    seeds: int
    level: float
    images: tuple[int, ...]
    image: int | None
    training: int | None
    training_similarity: float | None
    extracted: bool


@dataclass(frozen=True)
class Extraction:
    """Every caption in the order of its first image, and the share of captions extracted."""

    captions: tuple[CaptionGroup, ...]
    share: Estimate
    found: Estimate


def extraction(
    features: Any,
    captions: Sequence[str],
    threshold: Threshold | float,
    *,
    size: int,
    training: Any | None = None,
    training_threshold: Threshold | float | None = None,
) -> Extraction:
    """The extraction test on images [n, d] of unit length, several for each of their ``captions`` [n].

    ``threshold`` is what a group's weakest pair must exceed, from ``calibrate_groups`` with the same ``size`` and as
    many images a caption. With ``training`` [p, d] a caption is extracted where one of its group also exceeds
    ``training_threshold`` (from ``similarity.calibrate`` on held-out real images) with a training image; without, a
    caption is extracted where there is a group. Range of the shares [0, 1], lower is better.

    Estimand of both shares: the share among all captions that these were drawn from, at this many seeds a caption and
    at these thresholds; intervals are Clopper-Pearson's over captions. Raises BadRequest 'bad-option' or 'bad-captions'
    and TooFew 'too-few-images' where a caption has fewer than ``size`` images.

    >>> memorised = extraction([[1, 0], [1, 0], [0.6, 0.8], [0, 1]], ["a", "a", "b", "b"], 0.95, size=2)
    >>> memorised.share.value, memorised.captions[0].images
    (0.5, (0, 1))
    """
    rows = as_array(features)
    if (training is None) != (training_threshold is None):
        raise BadRequest("bad-option", "training images and their threshold come together (got one of them)")
    groups = {caption: _checked(caption, own, size) for caption, own in rows_by_caption(rows, captions).items()}
    bounds = _value(threshold), None if training_threshold is None else _value(training_threshold)
    real = None if training is None else as_array(training)
    results = tuple(_judged(caption, rows, own, size, bounds, real) for caption, own in groups.items())
    return Extraction(
        results,
        share=binomial_share(sum(one.extracted for one in results), len(results)),
        found=binomial_share(sum(bool(one.images) for one in results), len(results)),
    )


def rows_by_caption(features: Array, captions: Sequence[str]) -> dict[str, Indices]:
    """The rows [m] of each caption, captions in the order in which they first appear."""
    if len(features) != len(captions) or not len(captions):
        raise BadRequest(
            "bad-captions",
            f"extraction needs the caption of every image (got {len(features)} images and {len(captions)} captions)",
        )
    found: dict[str, list[int]] = {}
    for row, caption in enumerate(captions):
        found.setdefault(caption, []).append(row)
    return {caption: np.array(own, dtype=np.intp) for caption, own in found.items()}


def disjoint_groups(captions: Sequence[str], seeds: int, *, seed: int, same_caption: bool = True) -> list[Indices]:
    """Disjoint groups of ``seeds`` images each, drawn at random, as a background for ``calibrate_groups``.

    Of one caption each: the right background, since images of one caption resemble each other without any copying.
    With ``same_caption`` false each group's images have different captions, for where no caption has enough of them.
    """
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(captions))
    members: dict[str, list[int]] = {}
    for row in shuffled:
        members.setdefault(captions[row], []).append(int(row))
    if same_caption:
        return [
            np.array(own[top : top + seeds], dtype=np.intp)
            for own in members.values()
            for top in range(0, len(own) - seeds + 1, seeds)
        ]
    return _across_captions(list(members.values()), seeds)


def _across_captions(members: list[list[int]], seeds: int) -> list[Indices]:
    """Groups that take each of their images from another caption, always from those with most left."""
    groups = []
    while sum(bool(own) for own in members) >= seeds:
        members.sort(key=len, reverse=True)
        groups.append(np.array([own.pop() for own in members[:seeds]], dtype=np.intp))
    return groups


def group_levels(features: Any, groups: Sequence[Indices], size: int) -> Array:
    """The level [groups] of each group of images of [n, d]: the weakest pair of its most alike ``size`` images."""
    rows = as_array(features)
    return np.array([group_level(_cosines(rows[own]), size) for own in groups], dtype=np.float64)


def calibrate_groups(levels: Any, false_positive_rate: float) -> Threshold:
    """The threshold that a new innocent caption's level exceeds with probability at most the rate.

    From the levels [groups] of as many images a group as the test generates a caption. Raises TooFew 'too-few-groups'.
    """
    values = as_array(levels)
    needed = ceil(1 / false_positive_rate - 1e-9) - 1 if 0 < false_positive_rate < 1 else 0
    if len(values) < needed:
        raise TooFew(
            "too-few-groups",
            f"a rate of {false_positive_rate} needs at least {needed} background groups (got {len(values)}); "
            "take more real images, fewer a group, or a higher rate",
            found=len(values),
            needed=needed,
        )
    return calibrate(values, false_positive_rate)


def group_level(cosines: Array, size: int) -> float:
    """The largest similarity at which ``size`` images are all at least as similar to each other, from cosines [m, m].

    >>> group_level(np.array([[1, 0.9, 0.2], [0.9, 1, 0.4], [0.2, 0.4, 1]]), 3)
    0.2
    """
    steps = np.unique(cosines[np.triu_indices(len(cosines), 1)])
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if alike_group(cosines >= steps[middle], size):
            low = middle
        else:
            high = middle - 1
    return float(steps[low])


def alike_group(alike: NDArray[np.bool_], size: int) -> tuple[int, ...]:
    """A set of ``size`` or more images, each alike to each other by ``alike`` [m, m]; empty where there is none.

    Whether there is one is decided exactly, by branch and bound with colours (Tomita and Seki, 2003); what is found is
    then filled up until no further image is alike to all of it.

    >>> alike_group(np.ones((3, 3), dtype=bool), 2)
    (0, 1, 2)
    """
    alike = alike & alike.T & ~np.eye(len(alike), dtype=np.bool_)
    neighbours = [int.from_bytes(np.packbits(row, bitorder="little").tobytes(), "little") for row in alike]
    found = _clique(neighbours, size, (), (1 << len(alike)) - 1)
    return () if found is None else _filled(alike, found)


def _clique(neighbours: list[int], size: int, chosen: tuple[int, ...], candidates: int) -> tuple[int, ...] | None:
    """``size`` images alike to each other, ``chosen`` among them; a set of candidates is a number, one bit for each."""
    if len(chosen) == size:
        return chosen
    for image, colour in reversed(_coloured(neighbours, candidates)):
        if len(chosen) + colour < size:
            return None
        found = _clique(neighbours, size, (*chosen, image), candidates & neighbours[image])
        if found is not None:
            return found
        candidates &= ~(1 << image)
    return None


def _coloured(neighbours: list[int], candidates: int) -> list[tuple[int, int]]:
    """The candidates by colour; images alike to each other that have colours up to c number at most c."""
    ordered, colour = [], 0
    while candidates:
        colour += 1
        free = candidates
        while free:
            image = (free & -free).bit_length() - 1
            ordered.append((image, colour))
            candidates &= ~(1 << image)
            free &= ~(neighbours[image] | 1 << image)
    return ordered


def _filled(alike: NDArray[np.bool_], group: tuple[int, ...]) -> tuple[int, ...]:
    members = list(group)
    for image in range(len(alike)):
        if image not in members and alike[image, members].all():
            members.append(image)
    return tuple(sorted(members))


def _judged(
    caption: str,
    features: Array,
    own: Indices,
    size: int,
    bounds: tuple[float, float | None],
    training: Array | None,
) -> CaptionGroup:
    cosines = _cosines(features[own])
    members = own[list(alike_group(cosines > bounds[0], size))]
    image = work = similarity = None
    if training is not None and len(members):
        closest = nearest(features[members], training)
        best = int(closest.similarity.argmax())
        image, work, similarity = int(members[best]), int(closest.work[best]), float(closest.similarity[best])
    member = bounds[1] is None or (similarity is not None and similarity > bounds[1])
    return CaptionGroup(
        caption=caption,
        seeds=len(own),
        level=group_level(cosines, size),
        images=tuple(int(row) for row in members),
        image=image,
        training=work,
        training_similarity=similarity,
        extracted=bool(len(members)) and member,
    )


def _checked(caption: str, own: Indices, size: int) -> Indices:
    if size < 2:
        raise BadRequest("bad-option", f"a group of near-identical images has two or more members (got {size})")
    if len(own) < size:
        raise TooFew(
            "too-few-images",
            f"'{caption}' has {len(own)} images (expected at least {size}, the size of a group); generate more seeds",
            found=len(own),
            needed=size,
        )
    return own


def _cosines(rows: Array) -> Array:
    """Cosines [m, m] of rows of unit length, symmetric to the last bit."""
    products: Array = rows @ rows.T
    return (products + products.T) / 2


def _value(threshold: Threshold | float) -> float:
    return threshold.value if isinstance(threshold, Threshold) else threshold
