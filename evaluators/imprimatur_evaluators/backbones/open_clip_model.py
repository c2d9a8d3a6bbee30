"""open_clip's CLIP from a configuration, as a backbone with a text side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from open_clip.model import CLIP, CustomTextCLIP, convert_to_custom_text_state_dict
from torch import Tensor

from imprimatur_evaluators.backbones.byte_pairs import BytePairTokenizer
from imprimatur_evaluators.backbones.catalogue import Entry
from imprimatur_evaluators.backbones.network import Network, Preprocess, exact_arithmetic, filled
from imprimatur_evaluators.backbones.state_dict import StateDict, assembled, state_dict_of
from imprimatur_evaluators.backbones.tokenizer import Tokenizer, WordTokenizer
from imprimatur_evaluators.images import FloatImages, Images, resize
from imprimatur_evaluators.statistics.arrays import Array

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
    """The network that ``config`` describes, with the random weights of torch's global generator.

    ``embed_dim``, ``vision``, ``text`` and ``quick_gelu`` are open_clip's own. Where there is a ``vocabulary`` the
    prompts are read by words, and otherwise by CLIP's byte pairs.
    """
    text = dict(config["text"])
    if "vocabulary" in config:
        text["vocab_size"] = _words(config).size
    kind = CustomTextCLIP if config.get("custom_text", False) else CLIP
    others = {name: config[name] for name in ("quick_gelu", "init_logit_bias") if name in config}
    model = kind(config["embed_dim"], vision_cfg=_tuples(config["vision"]), text_cfg=text, **others)
    _fill_mask(model if kind is CLIP else model.text)
    return model


def _tuples(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}


def _fill_mask(text: Any) -> None:
    """Have the causal mask, which no file holds, in memory even where the network is built without any."""
    if text.attn_mask is not None and text.attn_mask.is_meta:
        side = text.attn_mask.shape[0]
        mask = torch.full((side, side), float("-inf"), device="cpu").triu_(1)
        text.register_buffer("attn_mask", mask, persistent=False)


def tokenizer_of(config: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of the configuration: by its words where it has a vocabulary, otherwise CLIP's byte pairs."""
    if "vocabulary" in config:
        return _words(config)
    return _byte_pairs(config["text"].get("context_length", 77))


def _words(config: Mapping[str, Any]) -> WordTokenizer:
    return WordTokenizer(tuple(config["vocabulary"]), config["text"]["context_length"])


@lru_cache(maxsize=4)
def _byte_pairs(context_length: int) -> BytePairTokenizer:
    return BytePairTokenizer(context_length)


def preprocess(images: Images, config: Mapping[str, Any]) -> Tensor:
    """Images [n, h, w, 3] as the network's input [n, 3, size, size]: resized, scaled to 0..1, then normalised."""
    view = Preprocess.parse(config).view
    return normalised(resize(images, view.size, view.mode), config)


def normalised(pixels: FloatImages, config: Mapping[str, Any]) -> Tensor:
    """Resized pixels [n, size, size, 3] as the network's input [n, 3, size, size], scaled to 0..1 and normalised."""
    return Preprocess.parse(config).normalised(pixels)


def tokens(prompts: Sequence[str], config: Mapping[str, Any]) -> Tensor:
    """Prompts as token numbers [n, context length]."""
    return torch.from_numpy(tokenizer_of(config).encode(prompts))


class OpenClipBackbone(Network):
    """A frozen CLIP on a device; see ``JointBackbone`` for what it promises."""

    _module: CLIP

    def __init__(self, entry: Entry, model: CLIP, device: str) -> None:
        super().__init__(entry, model, device)
        self._config = entry.config
        self._tokenizer = tokenizer_of(entry.config)

    @property
    def width(self) -> int:
        """How many numbers a feature has."""
        return int(self._config["embed_dim"])

    def text_features(self, prompts: Sequence[str]) -> Array:
        """Features [m, d] of unit length; a prompt longer than the context is cut and keeps its end."""
        tops = range(0, len(prompts), self._batch)
        parts = [self._text_features(prompts[top : top + self._batch]) for top in tops]
        return np.concatenate(parts) if parts else np.zeros((0, self.width))

    def truncated(self, prompts: Sequence[str]) -> int:
        """How many of the prompts are longer than the context and were cut."""
        return self._tokenizer.truncated(prompts)

    def _text_features(self, prompts: Sequence[str]) -> Array:
        numbers = filled(torch.from_numpy(self._tokenizer.encode(prompts)), self._batch)
        with exact_arithmetic():
            return self._numbers(self._module.encode_text(numbers.to(self._device)), len(prompts))

    def _embedded(self, batch: Tensor) -> Tensor:
        features: Tensor = self._module.encode_image(batch)
        return features


def load(entry: Entry, weights: bytearray, device: str) -> OpenClipBackbone:
    """The backbone with these weights; BadWeights 'weights-do-not-fit'."""
    return OpenClipBackbone(entry, network(entry, state_dict_of(entry, weights)), device)


def network(entry: Entry, state: StateDict) -> CLIP:
    """The network of the entry's configuration with these tensors; BadWeights 'weights-do-not-fit'.

    Files differ in two harmless ways: the scale has one axis or none, and the text side has a prefix or none.
    """
    if entry.config.get("custom_text", False) and "positional_embedding" in state:
        state = convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):
        if name in state:
            state[name] = state[name].reshape([])
    return assembled(entry, lambda: build(entry.config), state)
