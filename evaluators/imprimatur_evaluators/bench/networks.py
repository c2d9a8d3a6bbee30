"""The networks that both sides of the one pass embed by. Random weights: speed does not depend on what they know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from imprimatur_evaluators.backbones.inception import Inception2015
from imprimatur_evaluators.backbones.model import View
from imprimatur_evaluators.images import Pixels, ResizeMode
from imprimatur_evaluators.statistics.arrays import Array

WIDTH = 128
"""Numbers that Inception's 2,048 are projected to, so that a Frechet distance makes sense at few images."""
_SIDE = 64
_CONTEXT = 16
_WORDS = 512


class Inception(torch.nn.Module):
    """The 2015 Inception, projected. Takes images [n, 3, h, w] from 0 to 255, as torchmetrics hands them over."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Inception2015().eval()
        self.projection = torch.nn.Linear(2048, WIDTH, bias=False)
        self.num_features = WIDTH

    def forward(self, images: Tensor) -> Tensor:
        """Features [n, 128]; resized as torchmetrics resizes."""
        resized = functional.interpolate(images.float(), (299, 299), mode="bilinear", antialias=True)
        features: Tensor = self.projection(self.network((resized - 128) / 128))
        return features


def seeded(make: Any) -> Any:
    """What ``make`` makes with one fixed random state."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def clip() -> Any:
    """A CLIP of transformers' own, four layers deep."""
    from transformers import CLIPConfig, CLIPModel

    tower = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4}
    ends = {"bos_token_id": _WORDS - 2, "eos_token_id": _WORDS - 1, "pad_token_id": _WORDS - 1}
    config = CLIPConfig(
        text_config={**tower, "vocab_size": _WORDS, "max_position_embeddings": _CONTEXT, **ends},
        vision_config={**tower, "image_size": _SIDE, "patch_size": 8},
        projection_dim=128,
    )
    model: Any = CLIPModel(config)
    return model.eval()


def tokens(prompts: Sequence[str]) -> Tensor:
    """Token numbers [n, 16]: letters, and an end; enough to keep prompts apart."""
    rows = torch.full((len(prompts), _CONTEXT), _WORDS - 1)
    for row, prompt in zip(rows, prompts, strict=True):
        numbers = [ord(letter) % (_WORDS - 1) for letter in prompt.replace("a photo of a ", "")][: _CONTEXT - 1]
        row[: len(numbers)] = torch.tensor(numbers)
    return rows


@dataclass(frozen=True)
class Processor:
    """What torchmetrics prepares images and prompts with."""

    def __call__(self, *, images: Any = None, text: Any = None, **_: Any) -> dict[str, Tensor]:
        """The network's input."""
        if text is not None:
            found = tokens(text)
            return {"input_ids": found, "attention_mask": torch.ones_like(found)}
        batch = torch.stack(list(images)).float()
        resized = functional.interpolate(batch, (_SIDE, _SIDE), mode="bicubic", antialias=True)
        return {"pixel_values": resized / 127.5 - 1}


class InceptionBackbone:
    """The projected Inception as a backbone of ours."""

    name = "inception"
    weights_digest = identity = "sha256:random-inception"
    protocol = "clean to 299x299, random weights"
    view = View(ResizeMode.CLEAN, 299)
    width = WIDTH

    def __init__(self, module: Inception) -> None:
        self._module = module
        self._network = module.network.to(memory_format=torch.channels_last)

    def features(self, pixels: Sequence[Pixels]) -> Array:
        """Features [n, 128]."""
        batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            found = self._module.projection(self._network((batch - 128) / 128))
        features: Array = found.double().numpy()
        return features


class ClipBackbone:
    """The CLIP as a backbone of ours."""

    name = "clip"
    weights_digest = identity = "sha256:random-clip"
    protocol = "bicubic to 64x64, random weights"
    view = View(ResizeMode.BICUBIC, _SIDE)
    width = 128

    def __init__(self, model: Any) -> None:
        self._model = model

    def features(self, pixels: Sequence[Pixels]) -> Array:
        """Features [n, 128] of unit length."""
        batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
        return _unit(lambda: self._model.get_image_features(batch / 127.5 - 1))

    def text_features(self, prompts: Sequence[str]) -> Array:
        """Features [m, 128] of unit length."""
        found = tokens(prompts)
        return _unit(lambda: self._model.get_text_features(found, torch.ones_like(found)))

    def truncated(self, prompts: Sequence[str]) -> int:
        """None: the prompts of the benchmark are short."""
        return 0


def plain(found: Any) -> Tensor:
    """The features as a tensor, also from the outputs of newer versions of transformers."""
    features: Tensor = getattr(found, "pooler_output", found)
    return features


def _unit(embed: Any) -> Array:
    with torch.inference_mode():
        found = plain(embed()).double().numpy()
    unit: Array = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit
