"""SSCD makes the features of a ResNet-50 with generalised mean pooling, written here straight from the paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet50
from torchvision.transforms import functional as transforms

from imprimatur_evaluators.backbones import Catalogue, load, load_joint
from imprimatur_evaluators.backbones.published import published
from imprimatur_evaluators.backbones.sscd import Sscd
from imprimatur_evaluators.errors import BadWeights
from imprimatur_evaluators.features import image_features
from random_states import add_random, pictures, random_state, relative_difference

CONFIG = published("sscd-disc-mixup").config


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return random_state(Sscd(512, 3))


@pytest.fixture(scope="module")
def catalogue(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return add_random(tmp_path_factory.mktemp("sscd"), "sscd", state, CONFIG, safetensors=False)


def _theirs(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """f(x) = W (mean over places of max(x, 1e-6)^3)^(1/3) + b, divided by its length."""
    trunk = resnet50(weights=None)
    trunk.fc = nn.Identity()
    trunk.avgpool = nn.Identity()
    inside = {name.removeprefix("backbone."): tensor for name, tensor in state.items() if ".fc." not in name}
    trunk.load_state_dict(inside, strict=True)
    maps = trunk.eval()(images).reshape(len(images), 2048, -1)
    pooled = ((maps.clamp(min=1e-6) ** 3).sum(2) / maps.shape[2]) ** (1 / 3)
    return functional.normalize(pooled @ state["backbone.fc.weight"].T + state["backbone.fc.bias"])


def test_it_makes_the_features_that_the_paper_describes(catalogue: Catalogue, state: dict[str, Tensor]) -> None:
    images = pictures(3, 64, 64)
    ready = [
        transforms.normalize(
            transforms.to_tensor(transforms.resize(transforms.to_pil_image(image), [288])),
            CONFIG["preprocess"]["mean"],
            CONFIG["preprocess"]["std"],
        )
        for image in images
    ]
    with torch.inference_mode():
        expected = _theirs(state, torch.stack(ready))
    ours = load("sscd", catalogue)
    found = image_features(images, ours)
    assert found.shape == (3, ours.width) == (3, 512)
    assert relative_difference(found, expected) < 1e-5
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-12)


def test_a_feature_is_the_same_bit_by_bit_in_any_company(catalogue: Catalogue) -> None:
    ours, images = load("sscd", catalogue), pictures(8)
    together = image_features(images, ours)
    assert np.array_equal(together[[6, 1]], image_features(images[[6, 1]], ours))


def test_it_reads_no_prompts_and_says_so(catalogue: Catalogue) -> None:
    with pytest.raises(BadWeights) as caught:
        load_joint("sscd", catalogue)
    assert caught.value.code == "no-text-side"
