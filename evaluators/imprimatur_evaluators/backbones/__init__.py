"""Feature extractors, and the catalogue of their weights.

A backbone is loaded by its name in the catalogue. Its entry names an architecture, and for each architecture there is
one loader: one of ours, or one that another package plugs in under the entry points ``imprimatur.backbones``, a
callable of the entry, the verified bytes of the weights and the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points

from imprimatur_evaluators.backbones.catalogue import Catalogue, DigestOrigin, Entry
from imprimatur_evaluators.backbones.model import Backbone, JointBackbone, PreferenceModel, View
from imprimatur_evaluators.errors import BadWeights
from imprimatur_evaluators.images import ResizeMode

__all__ = [
    "Backbone",
    "Catalogue",
    "DigestOrigin",
    "Entry",
    "JointBackbone",
    "PreferenceModel",
    "View",
    "load",
    "load_joint",
    "load_preference",
]

Loader = Callable[[Entry, bytearray, str], Backbone]
"""A backbone from its entry, the verified bytes of its weights, and the device that it is to run on."""

PLUGINS = "imprimatur.backbones"
"""The entry points under which other packages plug in loaders, named by the architecture."""

_LOADERS: Mapping[str, tuple[str, str]] = {
    "open-clip": ("open_clip_model", "load"),
    "inception-2015": ("inception", "load"),
    "dinov2": ("dinov2", "load"),
    "sscd": ("sscd", "load"),
    "hpsv2": ("preference", "load_hpsv2"),
    "pick-score": ("preference", "load_pick_score"),
}


_WEIGHTLESS: Mapping[str, tuple[str, str]] = {"pdq": ("pdq", "PdqBackbone")}
"""What is a backbone by its code alone."""


def load(name: str, catalogue: Catalogue, device: str = "cpu", *, resize: ResizeMode | str | None = None) -> Backbone:
    """The backbone of that name with its verified weights on ``device``, ready to measure with.

    ``resize`` replaces the configuration's resize mode, and so does the mode's name after a colon: the Inception of old
    FIDs is ``inception-2015:legacy-tensorflow``. Its name, identity and protocol, and so every score, tell which it is.
    Raises BadWeights 'no-such-backbone', 'weights-missing', 'weights-changed', 'unknown-architecture',
    'weights-do-not-fit' or 'executable-weights', and BadRequest 'unknown-resize-mode'.
    """
    if name in _WEIGHTLESS:
        module, made = _WEIGHTLESS[name]
        weightless: Backbone = getattr(import_module(f"{__name__}.{module}"), made)()
        return weightless
    name, mode = _split(name, catalogue)
    entry = catalogue.entry(name)
    loader = _loader(entry)
    if resize is not None or mode is not None:
        entry = _resized(entry, ResizeMode.parse(resize or mode or ""))
    return loader(entry, catalogue.read(name), device)


def load_joint(name: str, catalogue: Catalogue, device: str = "cpu") -> JointBackbone:
    """As ``load``, for a backbone that reads prompts as well; otherwise BadWeights 'no-text-side'."""
    backbone = load(name, catalogue, device)
    if not isinstance(backbone, JointBackbone):
        raise BadWeights("no-text-side", f"'{name}' reads no prompts (expected a joint backbone, such as a CLIP)")
    return backbone


def load_preference(name: str, catalogue: Catalogue, device: str = "cpu") -> PreferenceModel:
    """As ``load``, for a model of what people prefer; otherwise BadWeights 'no-preference'."""
    backbone = load(name, catalogue, device)
    if not isinstance(backbone, PreferenceModel):
        raise BadWeights(
            "no-preference", f"'{name}' states no preference (expected a model such as hpsv2 or pickscore)"
        )
    return backbone


def _loader(entry: Entry) -> Loader:
    if entry.architecture in _LOADERS:
        module, function = _LOADERS[entry.architecture]
        loader: Loader = getattr(import_module(f"{__name__}.{module}"), function)
        return loader
    for plugin in entry_points(group=PLUGINS, name=entry.architecture):
        plugged: Loader = plugin.load()
        return plugged
    raise BadWeights(
        "unknown-architecture",
        f"'{entry.name}' is built as '{entry.architecture}' (expected one of {', '.join(_LOADERS)}, or one that is "
        f"plugged in under the entry points '{PLUGINS}')",
    )


def _split(name: str, catalogue: Catalogue) -> tuple[str, str | None]:
    """The name in the catalogue, and the resize mode that follows it, if any."""
    base, colon, mode = name.rpartition(":")
    known = {entry.name for entry in catalogue.entries()}
    return (base, mode.replace("-", "_")) if colon and name not in known and base in known else (name, None)


def _resized(entry: Entry, mode: ResizeMode) -> Entry:
    how = {**entry.config["preprocess"], "mode": mode.value}
    if how == entry.config["preprocess"]:
        return entry
    return replace(
        entry, name=f"{entry.name}:{mode.value.replace('_', '-')}", config={**entry.config, "preprocess": how}
    )
