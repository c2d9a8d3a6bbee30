"""Embedding served images with the backbone that the gate used. Torch comes in with the backbone, on first use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imprimatur.monitoring.store import Measured
from imprimatur.registry.flavor.loading import resolve_device
from imprimatur_evaluators.backbones import Catalogue, JointBackbone, load_joint
from imprimatur_evaluators.features import image_features
from imprimatur_evaluators.images import Images
from imprimatur_evaluators.statistics.alignment import Matches, matches, mean_cosine, retrieval_accuracy
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.intervals import Estimate

ALIGNMENT = "alignment"
COSINE = "cosine"
FEWEST = 2
"""Measurements without which a mean has no interval."""


@dataclass(frozen=True, eq=False)
class Scored:
    """What one batch of images came to, and the weights that measured it."""

    measured: tuple[Measured, ...]
    weights_digest: str


class Rescorer:
    """Matches images against prompts; a backbone is loaded once for as long as its weights stay the same."""

    def __init__(self, weights: Path, device: str) -> None:
        self._catalogue = Catalogue(weights)
        self._device = device
        self._loaded: dict[str, JointBackbone] = {}

    def score(self, backbone: str, images: Sequence[Images], own: Sequence[str], distractors: Sequence[str]) -> Scored:
        """How each image matches its own prompt among the distractors; what else is in the batch does not matter."""
        network = self._backbone(backbone)
        prompts = sorted({*distractors, *own})
        texts = network.text_features(prompts)
        measured = []
        for features, prompt in zip(_features(network, images), own, strict=True):
            candidates = sorted({*distractors, prompt})
            index = np.array([candidates.index(prompt)], dtype=np.intp)
            found = matches(features[None], texts[[prompts.index(each) for each in candidates]], index)
            measured.append(Measured(float(found.cosine[0]), float(found.margin[0])))
        return Scored(tuple(measured), network.weights_digest)

    def _backbone(self, name: str) -> JointBackbone:
        identity = self._catalogue.entry(name).identity
        if identity not in self._loaded:
            self._loaded = {identity: load_joint(name, self._catalogue, resolve_device(self._device))}
        return self._loaded[identity]


def estimates(backbone: str, measured: Sequence[Measured]) -> dict[str, Estimate]:
    """The served scores by name; none where fewer than two images were measured."""
    if len(measured) < FEWEST:
        return {}
    found = Matches(
        np.array([each.cosine for each in measured]),
        np.array([each.margin for each in measured]),
    )
    return {f"{ALIGNMENT}/{backbone}": retrieval_accuracy(found), f"{COSINE}/{backbone}": mean_cosine(found)}


def _features(network: JointBackbone, images: Sequence[Images]) -> list[Array]:
    """Features of images of any sizes, in their order; those of one size are embedded together."""
    features: list[Array] = [np.zeros(0)] * len(images)
    for shape in {image.shape for image in images}:
        places = [place for place, image in enumerate(images) if image.shape == shape]
        found = image_features(np.stack([images[place] for place in places]), network)
        for place, row in zip(places, found, strict=True):
            features[place] = row
    return features
