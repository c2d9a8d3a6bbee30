"""What a backbone is to the metrics. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from imprimatur_evaluators.images import Images
from imprimatur_evaluators.statistics.intervals import Array


class Backbone(Protocol):
    """A frozen network that turns images into features, and prompts where it has a text side.

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

    def image_features(self, images: Images) -> Array:
        """Features [n, d] of unit length of images [n, h, w, 3]; they do not depend on what else is in the batch."""

    def text_features(self, prompts: Sequence[str]) -> Array:
        """Features [m, d] of unit length of prompts."""
