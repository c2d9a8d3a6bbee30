"""Feature extractors, and the catalogue of their weights."""

from __future__ import annotations

from imprimatur_evaluators.backbones.catalogue import Catalogue, Entry
from imprimatur_evaluators.backbones.model import Backbone, JointBackbone
from imprimatur_evaluators.errors import BadWeights

__all__ = ["Backbone", "Catalogue", "Entry", "JointBackbone", "load"]


def load(name: str, catalogue: Catalogue, device: str = "cpu") -> JointBackbone:
    """The backbone of that name with its verified weights on ``device``, ready to measure with.

    Raises BadWeights 'no-such-backbone', 'weights-missing', 'weights-changed', 'unknown-architecture' or
    'weights-do-not-fit'.
    """
    entry = catalogue.entry(name)
    if entry.architecture != "open-clip":
        raise BadWeights("unknown-architecture", f"'{name}' is built as '{entry.architecture}' (expected 'open-clip')")
    from imprimatur_evaluators.backbones.open_clip_model import OpenClipBackbone

    return OpenClipBackbone.from_bytes(entry, catalogue.read(name), device)
