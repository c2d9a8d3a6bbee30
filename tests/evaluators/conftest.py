"""Real digits, and a backbone without torch: pixels as features, the mean image of a class as its caption's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from imprimatur_evaluators.images import Images, Pixels
from imprimatur_evaluators.statistics.arrays import Array

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, eq=False)
class Digits:
    """The 1,797 digits of scikit-learn as images [n, 8, 8, 3], each with its caption."""

    images: Images
    labels: NDArray[np.int64]

    @property
    def captions(self) -> list[str]:
        return [f"a handwritten {WORDS[label]}" for label in self.labels]

    def part(self, rows: slice) -> Digits:
        return Digits(self.images[rows], self.labels[rows])


class PixelBackbone:
    """Pixels less the mean image, at unit length; a caption's feature is the mean feature of its class."""

    name = "pixels"
    weights_digest = "sha256:pixels"
    identity = "sha256:pixels-and-means"
    protocol = "8x8 pixels less the mean image, unit length"
    view = None
    width = 16

    def __init__(self, digits: Digits) -> None:
        self.asked = 0
        self._mean: Array = self._pixels(digits.images).mean(axis=0)
        features = self.features(list(digits.images))
        self.asked = 0
        self._texts = {
            f"a handwritten {word}": features[digits.labels == n].mean(axis=0) for n, word in enumerate(WORDS)
        }
        self._texts["a handwritten digit"] = features.mean(axis=0)

    def features(self, pixels: Sequence[Pixels]) -> Array:
        self.asked += len(pixels)
        rows = self._pixels(np.stack(pixels)) - self._mean
        unit: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def text_features(self, prompts: Sequence[str]) -> Array:
        rows = np.stack([self._texts[prompt] for prompt in prompts])
        unit: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def truncated(self, prompts: Sequence[str]) -> int:
        return 0

    def _pixels(self, images: NDArray[Any]) -> Array:
        shrunk: Array = (
            images[..., 0].astype(np.float64).reshape(len(images), 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
        )
        return shrunk


@pytest.fixture(scope="session")
def digits() -> Digits:
    """All digits in a fixed random order."""
    loaded = load_digits()
    order = np.random.default_rng(0).permutation(len(loaded.images))
    pixels = np.round(loaded.images[order] / 16 * 255).astype(np.uint8)
    return Digits(np.repeat(pixels[..., None], 3, axis=-1), loaded.target[order])


@pytest.fixture
def pixels(digits: Digits) -> PixelBackbone:
    """The backbone without torch."""
    return PixelBackbone(digits.part(slice(0, 600)))
