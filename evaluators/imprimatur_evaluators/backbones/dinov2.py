"""DINOv2 through timm, as the Frechet distance on it was published: 224 pixels, the class token.

Oquab et al., "DINOv2: Learning robust visual features without supervision", TMLR 2024; Stein et al., "Exposing flaws of
generative model evaluation metrics and their unfair treatment of diffusion models", NeurIPS 2023 (dgm-eval).
"""

from __future__ import annotations

import math

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from imprimatur_evaluators.backbones.catalogue import Entry
from imprimatur_evaluators.backbones.network import Network
from imprimatur_evaluators.backbones.state_dict import assembled, state_dict_of

_OFFSET = 0.1
"""What the authors' code adds to the grid's size before it interpolates; it shifts every position a little."""


class DinoV2Backbone(Network):
    """Features [n, width]: the class token after the last normalisation, not scaled."""

    unit_length = False

    @property
    def width(self) -> int:
        """The network's embedding size: 384, 768, 1024 or 1536."""
        return int(self._module.num_features)  # type: ignore[arg-type]  # a number in every timm transformer

    def _embedded(self, batch: Tensor) -> Tensor:
        features: Tensor = self._module(batch)
        return features


def load(entry: Entry, weights: bytearray, device: str) -> DinoV2Backbone:
    """The backbone with these weights; BadWeights 'weights-do-not-fit'.

    The configuration's ``timm`` names the network and ``options`` are timm's own, which a test may use for a small one.
    """
    size = entry.config["preprocess"]["size"]
    options = entry.config.get("options", {})

    def build() -> nn.Module:
        made: nn.Module = timm.create_model(
            entry.config["timm"], pretrained=False, num_classes=0, img_size=size, **options
        )
        return made

    state = state_dict_of(entry, weights)
    state.pop("mask_token", None)  # the authors' own files have one, for training
    patch = options.get("patch_size", 14)
    state["pos_embed"] = resampled(state["pos_embed"], size // patch)
    return DinoV2Backbone(entry, assembled(entry, build, state), device)


def resampled(positions: Tensor, side: int) -> Tensor:
    """Position embeddings [1, 1 + side^2, d] of those [1, 1 + n^2, d] of another grid, as the authors' code does it.

    Bicubic without antialiasing, by a scale factor of (side + 0.1) / n; timm's own resampling antialiases instead, and
    then features are not those that published distances rest on.
    """
    grid = math.isqrt(positions.shape[1] - 1)
    if grid == side:
        return positions
    patches = positions[:, 1:].float().reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    factor = (side + _OFFSET) / grid
    moved = functional.interpolate(patches, mode="bicubic", scale_factor=(factor, factor))
    return torch.cat([positions[:, :1].float(), moved.permute(0, 2, 3, 1).reshape(1, side * side, -1)], dim=1)
