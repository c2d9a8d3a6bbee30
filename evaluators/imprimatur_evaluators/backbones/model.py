"""What a backbone is to the metrics. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from imprimatur_evaluators.images import Pixels, ResizeMode
from imprimatur_evaluators.statistics.arrays import Array


@dataclass(frozen=True)
class View:
    """How images come into a network: square, resized to ``size`` by a mode of ``images.resize``."""

    mode: ResizeMode
    size: int


class Backbone(Protocol):
    """A frozen network that turns images into features.

    ``identity`` covers all that decides a feature and keys the cache; ``protocol`` says in words how images get in.
    """

    @property
    def name(self) -> str:
        """The name in the catalogue; scores carry it."""

    @property
    def weights_digest(self) -> str:
        """The SHA-256 of the weights' file."""

    @property
    def identity(self) -> str:
        """The SHA-256 of weights, architecture and configuration."""

    @property
    def protocol(self) -> str:
        """Resize mode, size and normalisation, in words."""

    @property
    def view(self) -> View | None:
        """How images are resized before they come in; None where they come in as they are."""

    @property
    def width(self) -> int:
        """How many numbers a feature has."""

    def features(self, pixels: Sequence[Pixels]) -> Array:
        """Features [n, width] of images seen through ``view``; they do not depend on what else is in the batch.

        Pixels are float32 [size, size, 3] from 0 to 255, or uint8 [h, w, 3] of any size where ``view`` is None.
        """


@runtime_checkable
class JointBackbone(Backbone, Protocol):
    """A backbone whose features, of unit length, share a space with those of prompts."""

    def text_features(self, prompts: Sequence[str]) -> Array:
        """Features [m, width] of unit length of prompts; a prompt longer than the context is cut and keeps its end."""

    def truncated(self, prompts: Sequence[str]) -> int:
        """How many of the prompts are longer than the context and were cut."""


@runtime_checkable
class PreferenceModel(Backbone, Protocol):
    """A backbone that says how much people would prefer an image made for a prompt; higher is better."""

    def preferences(self, features: Array, prompts: Sequence[str]) -> Array:
        """The preference score [n] of image features [n, width], each with the prompt that it was made for."""


@runtime_checkable
class AttributeClassifier(Backbone, Protocol):
    """A backbone whose features are the probabilities of declared labels."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, one for each number of a feature."""
