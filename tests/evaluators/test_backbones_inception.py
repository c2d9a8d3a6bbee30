"""The Inception of FID makes the features of torch-fidelity's own extractor and of pytorch-fid, on the same state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pytorch_fid.inception as pytorch_fid
import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from imprimatur_evaluators.backbones import Catalogue, load
from imprimatur_evaluators.backbones.inception import Inception2015
from imprimatur_evaluators.backbones.published import published
from imprimatur_evaluators.errors import BadWeights
from imprimatur_evaluators.features import image_features
from imprimatur_evaluators.images import resize
from random_states import add_random, pictures, random_state, relative_difference

IMAGES = pictures(3)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A random state with all the names of the published file."""
    network = Inception2015()
    network.add_module("fc", nn.Linear(2048, 1008))
    return random_state(network)


@pytest.fixture(scope="module")
def catalogue(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    folder = tmp_path_factory.mktemp("inception")
    return add_random(folder, "inception-2015", state, published("inception-2015").config, safetensors=False)


def test_it_makes_the_features_of_torch_fidelity_from_the_pixels_on(
    catalogue: Catalogue, state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "state.pth")
    theirs = FeatureExtractorInceptionV3("reference", ["2048"], feature_extractor_weights_path=tmp_path / "state.pth")
    with torch.inference_mode():
        (expected,) = theirs(torch.from_numpy(IMAGES).permute(0, 3, 1, 2))
    ours = load("inception-2015", catalogue, resize="legacy_tensorflow")
    assert relative_difference(image_features(IMAGES, ours), expected) < 1e-5


def test_it_makes_the_features_of_pytorch_fid(
    catalogue: Catalogue, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytorch_fid, "load_state_dict_from_url", lambda url, progress: state)
    theirs = pytorch_fid.InceptionV3(resize_input=False, normalize_input=False).eval()
    pixels = torch.from_numpy(resize(IMAGES, 299, "legacy_pytorch")).permute(0, 3, 1, 2)
    with torch.inference_mode():
        (expected,) = theirs((pixels - 128) / 128)
    ours = load("inception-2015", catalogue, resize="legacy_pytorch")
    assert relative_difference(image_features(IMAGES, ours), expected[:, :, 0, 0]) < 1e-5


def test_a_feature_is_the_same_bit_by_bit_in_any_company(catalogue: Catalogue) -> None:
    ours = load("inception-2015", catalogue)
    images = pictures(8)
    together = image_features(images, ours)
    assert np.array_equal(together[[6, 1]], image_features(images[[6, 1]], ours))


def test_each_resize_mode_is_a_protocol_of_its_own(catalogue: Catalogue) -> None:
    clean, old = load("inception-2015", catalogue), load("inception-2015:legacy-tensorflow", catalogue)
    assert (clean.name, old.name) == ("inception-2015", "inception-2015:legacy-tensorflow")
    asked = load("inception-2015", catalogue, resize="legacy_tensorflow")
    assert (asked.name, asked.identity) == (old.name, old.identity)
    assert load("inception-2015", catalogue, resize="clean").identity == clean.identity
    assert clean.weights_digest == old.weights_digest
    assert clean.identity != old.identity
    assert clean.protocol.startswith("clean resize")
    assert old.protocol.startswith("legacy_tensorflow resize")
    assert clean.width == 2048


def test_a_state_that_lacks_a_layer_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    lacking = {name: tensor for name, tensor in state.items() if not name.startswith("Mixed_7c")}
    catalogue = add_random(tmp_path, "inception-2015", lacking, published("inception-2015").config)
    with pytest.raises(BadWeights, match="Mixed_7c") as caught:
        load("inception-2015", catalogue)
    assert caught.value.code == "weights-do-not-fit"
