"""DINOv2 makes the features of transformers' own implementation, on the same state, at the published size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model

from imprimatur_evaluators.backbones import Catalogue, load
from imprimatur_evaluators.backbones.dinov2 import resampled
from imprimatur_evaluators.backbones.published import published
from imprimatur_evaluators.features import image_features
from imprimatur_evaluators.images import resize
from random_states import add_random, pictures, random_state, relative_difference

OPTIONS: dict[str, Any] = {"embed_dim": 48, "depth": 2, "num_heads": 3}
CONFIG: dict[str, Any] = {**published("dinov2-vit-s-14").config, "options": OPTIONS}


def _network(img_size: int) -> torch.nn.Module:
    made: torch.nn.Module = timm.create_model(CONFIG["timm"], num_classes=0, img_size=img_size, **OPTIONS)
    return made


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A random state on the grid of 37 x 37 patches that the published weights have."""
    return random_state(_network(518))


@pytest.fixture(scope="module")
def catalogue(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return add_random(tmp_path_factory.mktemp("dinov2"), "dinov2", state, CONFIG)


def _theirs(state: dict[str, Tensor]) -> Dinov2Model:
    """transformers' model with the same tensors under its own names, its grid being the one that is asked for."""
    config = Dinov2Config(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, image_size=224, patch_size=14)
    model: Dinov2Model = Dinov2Model(config).train(False)
    names = {
        "cls_token": "embeddings.cls_token",
        "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight",
        "norm.bias": "layernorm.bias",
    }
    found = {new: state[old] for old, new in names.items()}
    found["embeddings.position_embeddings"] = resampled(state["pos_embed"], 16)
    found["embeddings.mask_token"] = torch.zeros(1, 48)
    layers = {"norm1": "norm1", "norm2": "norm2", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
    for block in range(2):
        before, after = f"blocks.{block}", f"encoder.layer.{block}"
        for kind in ("weight", "bias"):
            for old, new in {**layers, "attn.proj": "attention.o_proj"}.items():
                found[f"{after}.{new}.{kind}"] = state[f"{before}.{old}.{kind}"]
            parts = state[f"{before}.attn.qkv.{kind}"].chunk(3)
            for name, part in zip("qkv", parts, strict=True):
                found[f"{after}.attention.{name}_proj.{kind}"] = part
        for scale in ("1", "2"):
            found[f"{after}.layer_scale{scale}.lambda1"] = state[f"{before}.ls{scale}.gamma"]
    model.load_state_dict(found, strict=True)
    return model


def test_it_makes_the_class_tokens_of_transformers(catalogue: Catalogue, state: dict[str, Tensor]) -> None:
    images = pictures(3, 40, 56)
    pixels = torch.from_numpy(resize(images, 224, "squash")).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(CONFIG["preprocess"][each]).view(3, 1, 1) for each in ("mean", "std"))
    with torch.inference_mode():
        expected = _theirs(state)((pixels - mean) / std).last_hidden_state[:, 0]
    ours = load("dinov2", catalogue)
    assert ours.width == 48
    assert relative_difference(image_features(images, ours), expected) < 1e-5


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = -0.75."""
    away = np.abs(distance)
    kernel: NDArray[np.float64] = np.where(
        away <= 1, (1.25 * away - 2.25) * away**2 + 1, -0.75 * (away - 1) * (away - 2) ** 2
    ) * (away < 2)
    return kernel


def test_positions_are_read_16_1_over_37_apart_without_antialiasing(state: dict[str, Tensor]) -> None:
    grid = state["pos_embed"][0, 1:].double().numpy().reshape(37, 37, 48)
    centres = (np.arange(16) + 0.5) * 37 / 16.1 - 0.5
    weights = np.zeros((16, 37))
    for row, centre in enumerate(centres):
        for place in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            weights[row, np.clip(place, 0, 36)] += _cubic(np.array(centre - place))
    expected = np.einsum("ik,jl,kld->ijd", weights, weights, grid).reshape(256, 48)
    found = resampled(state["pos_embed"], 16)
    np.testing.assert_allclose(found[0, 1:], expected, atol=1e-5)
    assert torch.equal(found[:, 0], state["pos_embed"][:, 0])


def test_a_grid_that_fits_is_left_alone() -> None:
    positions = torch.rand(1, 257, 4)
    assert resampled(positions, 16) is positions


def test_a_feature_is_the_same_bit_by_bit_in_any_company(catalogue: Catalogue) -> None:
    ours, images = load("dinov2", catalogue), pictures(11)
    together = image_features(images, ours)
    assert np.array_equal(together[[9, 3]], image_features(images[[9, 3]], ours))


@pytest.mark.parametrize(("letter", "width"), [("s", 384), ("b", 768), ("l", 1024), ("g", 1536)])
def test_the_published_sizes_are_networks_of_timm(letter: str, width: int) -> None:
    config = published(f"dinov2-vit-{letter}-14").config
    with torch.device("meta"):
        network = timm.create_model(config["timm"], num_classes=0, img_size=config["preprocess"]["size"])
    assert network.num_features == width
    assert network.pos_embed.shape == (1, 257, width)


def test_the_authors_own_file_with_its_mask_token_loads_too(state: dict[str, Tensor], tmp_path: Path) -> None:
    catalogue = add_random(tmp_path, "dinov2", {**state, "mask_token": torch.zeros(1, 48)}, CONFIG, safetensors=False)
    assert load("dinov2", catalogue).width == 48
