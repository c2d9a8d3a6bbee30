"""open_clip's CLIP from a configuration, as a backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from open_clip.model import CLIP
from safetensors.torch import load as load_tensors
from torch.nn import functional

from imprimatur_evaluators.backbones.catalogue import Entry
from imprimatur_evaluators.backbones.model import View
from imprimatur_evaluators.backbones.tokenizer import WordTokenizer
from imprimatur_evaluators.errors import BadWeights
from imprimatur_evaluators.images import FloatImages, Images, Pixels, resize
from imprimatur_evaluators.statistics.arrays import Array

BATCH = 64

SMALL_DIGITS: dict[str, Any] = {
    "architecture": "open-clip",
    "embed_dim": 32,
    "vision": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32},
    "text": {"context_length": 8, "width": 32, "heads": 2, "layers": 1},
    "vocabulary": [
        "a", "handwritten", "digit",
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    ],
    "preprocess": {"size": 32, "mode": "bicubic", "mean": 0.5, "std": 0.5},
}  # fmt: skip
"""A small CLIP for digits of 32x32 pixels that trains in seconds: a residual network of 8 channels, 32 features."""


def build(config: Mapping[str, Any]) -> CLIP:
    """The network that ``config`` describes, with the random weights of torch's global generator."""
    tokenizer = tokenizer_of(config)
    vision = {key: tuple(value) if isinstance(value, list) else value for key, value in config["vision"].items()}
    return CLIP(config["embed_dim"], vision_cfg=vision, text_cfg={**config["text"], "vocab_size": tokenizer.size})


def tokenizer_of(config: Mapping[str, Any]) -> WordTokenizer:
    """The tokenizer over the configuration's vocabulary."""
    return WordTokenizer(tuple(config["vocabulary"]), config["text"]["context_length"])


def preprocess(images: Images, config: Mapping[str, Any]) -> torch.Tensor:
    """Images [n, h, w, 3] as the network's input [n, 3, size, size]: resized, scaled to 0..1, then normalised."""
    how = config["preprocess"]
    return normalised(resize(images, how["size"], how["mode"]), config)


def normalised(pixels: FloatImages, config: Mapping[str, Any]) -> torch.Tensor:
    """Resized pixels [n, size, size, 3] as the network's input [n, 3, size, size], scaled to 0..1 and normalised."""
    how = config["preprocess"]
    ready: torch.Tensor = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - how["mean"]) / how["std"]
    return ready


def tokens(prompts: Sequence[str], config: Mapping[str, Any]) -> torch.Tensor:
    """Prompts as token numbers [n, context length]."""
    return torch.from_numpy(tokenizer_of(config).encode(prompts))


class OpenClipBackbone:
    """A frozen CLIP on a device; see ``Backbone`` for what it promises."""

    def __init__(self, entry: Entry, model: CLIP, device: str) -> None:
        self.name = entry.name
        self.weights_digest = entry.digest
        self.identity = entry.identity
        self._config = entry.config
        self._model = model.to(device).eval()
        self._device = device

    @classmethod
    def from_bytes(cls, entry: Entry, weights: bytes, device: str) -> OpenClipBackbone:
        """The backbone with weights from verified safetensors bytes; BadWeights where they do not fit."""
        model = build(entry.config)
        try:
            model.load_state_dict(load_tensors(weights))
        except RuntimeError as error:
            raise BadWeights(
                "weights-do-not-fit", f"the weights of '{entry.name}' do not fit its configuration: {error}"
            ) from error
        return cls(entry, model, device)

    @property
    def protocol(self) -> str:
        """How images get in, in words."""
        how = self._config["preprocess"]
        return (
            f"{how['mode']} to {how['size']}x{how['size']} per channel in float, normalised by mean {how['mean']} "
            f"and deviation {how['std']}, unit length; configuration {self.identity[7:19]}"
        )

    @property
    def view(self) -> View:
        """The size and mode of the configuration."""
        how = self._config["preprocess"]
        return View(how["mode"], how["size"])

    @property
    def width(self) -> int:
        """How many numbers a feature has."""
        return int(self._config["embed_dim"])

    def features(self, pixels: Sequence[Pixels]) -> Array:
        """Features [n, d] of unit length; batches are filled to one fixed size, so that none depends on the others."""
        parts = [self._embedded(pixels[top : top + BATCH]) for top in range(0, len(pixels), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, self.width))

    def text_features(self, prompts: Sequence[str]) -> Array:
        """Features [m, d] of unit length; a prompt longer than the context is cut and keeps its end."""
        with torch.inference_mode():
            features = self._model.encode_text(tokens(prompts, self._config).to(self._device))
        return _unit(features)

    def truncated(self, prompts: Sequence[str]) -> int:
        """How many of the prompts are longer than the context and were cut."""
        return tokenizer_of(self._config).truncated(prompts)

    def _embedded(self, pixels: Sequence[Pixels]) -> Array:
        batch = normalised(np.stack(pixels).astype(np.float32), self._config)
        batch = functional.pad(batch, (0, 0, 0, 0, 0, 0, 0, BATCH - len(pixels)))
        with torch.inference_mode():
            features = self._model.encode_image(batch.to(self._device))
        return _unit(features)[: len(pixels)]


def _unit(features: torch.Tensor) -> Array:
    rows = features.double().cpu().numpy()
    unit: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
