"""CLIP makes the features of open_clip's own path and of transformers' CLIPModel, on the same state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from imprimatur_evaluators.backbones import Catalogue, JointBackbone, load_joint, load_preference
from imprimatur_evaluators.backbones.open_clip_model import build, tokenizer_of
from imprimatur_evaluators.backbones.preference import renamed
from imprimatur_evaluators.backbones.published import SHORT_NAMES, published
from imprimatur_evaluators.errors import BadRequest, BadWeights
from imprimatur_evaluators.features import image_features
from imprimatur_evaluators.images import resize
from random_states import add_random, pictures, random_state, relative_difference

SMALL: dict[str, Any] = {
    "embed_dim": 24,
    "vision": {"image_size": 70, "layers": 2, "width": 64, "head_width": 32, "patch_size": 14},
    "text": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
MEAN_AND_STD = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
}
CONFIG = {
    "architecture": "open-clip",
    **SMALL,
    "quick_gelu": True,
    "preprocess": {"size": 70, "mode": "clip", **MEAN_AND_STD},
}
PROMPTS = ["a photograph of a Cat, sitting", "naïve façade &amp; 3 dogs", "word " * 200, ""]
IMAGES = pictures(5, 60, 90)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return random_state(build(CONFIG))


@pytest.fixture(scope="module")
def catalogue(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return add_random(tmp_path_factory.mktemp("clip"), "clip", state, CONFIG)


@pytest.fixture(scope="module")
def ours(catalogue: Catalogue) -> JointBackbone:
    return load_joint("clip", catalogue)


def test_it_makes_the_features_of_open_clips_own_path(
    ours: JointBackbone, state: dict[str, Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "small-for-parity.json"
    file.write_text(json.dumps({"embed_dim": 24, "vision_cfg": SMALL["vision"], "text_cfg": SMALL["text"]}))
    open_clip.add_model_config(file)
    theirs = open_clip.create_model("small-for-parity", force_quick_gelu=True).eval()
    theirs.load_state_dict(state)
    see = image_transform_v2(PreprocessCfg(size=70), is_train=False)
    read = open_clip.get_tokenizer("small-for-parity")
    with torch.inference_mode():
        seen = torch.stack([see(Image.fromarray(image)) for image in IMAGES])
        images, prompts = theirs.encode_image(seen, normalize=True), theirs.encode_text(read(PROMPTS), normalize=True)
    assert relative_difference(image_features(IMAGES, ours), images) < 1e-5
    assert relative_difference(ours.text_features(PROMPTS), prompts) < 1e-5


def _transformers(activation: str) -> CLIPModel:
    text, vision = SMALL["text"], SMALL["vision"]
    model: CLIPModel = CLIPModel(
        CLIPConfig(
            text_config={
                "hidden_size": text["width"],
                "intermediate_size": 4 * text["width"],
                "num_hidden_layers": text["layers"],
                "num_attention_heads": text["heads"],
                "hidden_act": activation,
                "projection_dim": 24,
                "eos_token_id": 49407,
                "bos_token_id": 49406,
                "pad_token_id": 0,
            },
            vision_config={
                "hidden_size": vision["width"],
                "intermediate_size": 4 * vision["width"],
                "num_hidden_layers": vision["layers"],
                "num_attention_heads": 2,
                "image_size": 70,
                "patch_size": 14,
                "hidden_act": activation,
                "projection_dim": 24,
            },
            projection_dim=24,
        )
    ).train(False)
    return model


@pytest.fixture(scope="module")
def their_pick_score() -> CLIPModel:
    """transformers' CLIP with random weights: what PickScore is, small."""
    model = _transformers("gelu")
    state = random_state(model)
    state["logit_scale"] = torch.tensor(4.6)
    model.load_state_dict(state)
    return model


PICK = {**published("pickscore").config, **SMALL, "preprocess": {"size": 70, "mode": "clip", **MEAN_AND_STD}}


def test_pick_score_scores_as_transformers_does(their_pick_score: CLIPModel, tmp_path: Path) -> None:
    state = {**their_pick_score.state_dict(), "text_model.embeddings.position_ids": torch.arange(77)[None]}
    ours = load_preference("pickscore", add_random(tmp_path, "pickscore", state, PICK))
    numbers = torch.from_numpy(tokenizer_of(PICK).encode(PROMPTS))
    pixels = torch.from_numpy(resize(IMAGES[:4], 70, "clip")).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(MEAN_AND_STD[each]).view(3, 1, 1) for each in ("mean", "std"))
    with torch.inference_mode():
        theirs = their_pick_score(input_ids=numbers, pixel_values=(pixels - mean) / std)
    features = image_features(IMAGES[:4], ours)
    assert relative_difference(features, theirs.image_embeds) < 1e-5
    expected = theirs.logits_per_image.diagonal().numpy()
    np.testing.assert_allclose(ours.preferences(features, PROMPTS), expected, atol=1e-5 * np.exp(4.6))


def test_quick_gelu_is_told_from_gelu(ours: JointBackbone, state: dict[str, Tensor], tmp_path: Path) -> None:
    plain = load_joint("clip", add_random(tmp_path, "clip", state, {**CONFIG, "quick_gelu": False}))
    assert relative_difference(image_features(IMAGES, plain), image_features(IMAGES, ours)) > 1e-3
    assert plain.identity != ours.identity


def test_hpsv2_is_the_cosine_and_its_tensors_stand_under_a_key(state: dict[str, Tensor], tmp_path: Path) -> None:
    config = {**published("hpsv2").config, **SMALL, "preprocess": {"size": 70, "mode": "letterbox", **MEAN_AND_STD}}
    file = tmp_path / "HPS_v2_compressed.pt"
    torch.save({"state_dict": state, "epoch": 3}, file)
    catalogue = Catalogue(tmp_path / "catalogue")
    catalogue.add("hpsv2", file, config, licence="Apache-2.0", source="random numbers")
    ours = load_preference("hpsv2", catalogue)
    joint = load_joint("hpsv2", catalogue)
    features = image_features(IMAGES[:4], ours)
    expected = (features * joint.text_features(PROMPTS)).sum(axis=1)
    np.testing.assert_allclose(ours.preferences(features, PROMPTS), expected, rtol=1e-12)
    assert ours.protocol.startswith("longer side to 70")


def test_every_image_has_a_prompt_of_its_own(their_pick_score: CLIPModel, tmp_path: Path) -> None:
    ours = load_preference("pickscore", add_random(tmp_path, "pickscore", their_pick_score.state_dict(), PICK))
    with pytest.raises(BadRequest) as caught:
        ours.preferences(np.ones((3, 24)), ["one", "two"])
    assert caught.value.code == "prompts-do-not-match"


def test_the_published_vit_h_has_every_tensor_of_a_transformers_clip_h() -> None:
    text = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    vision = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16}
    config = CLIPConfig(text_config=text, vision_config={**vision, "patch_size": 14}, projection_dim=1024)
    with torch.device("meta"):
        theirs, ours = CLIPModel(config), build(published("pickscore").config)
        shapes = {name: tensor.shape for name, tensor in renamed(theirs.state_dict()).items()}
    assert shapes == {name: tensor.shape for name, tensor in ours.state_dict().items()}


def test_a_backbone_without_a_text_side_or_a_preference_is_told(catalogue: Catalogue) -> None:
    with pytest.raises(BadWeights) as caught:
        load_preference("clip", catalogue)
    assert caught.value.code == "no-preference"


def test_a_feature_is_the_same_bit_by_bit_in_any_company(ours: JointBackbone) -> None:
    images, prompts = pictures(20), [f"a picture of {number} things" for number in range(20)]
    together, read = image_features(images, ours), ours.text_features(prompts)
    assert np.array_equal(together[[17, 3]], image_features(images[[17, 3]], ours))
    assert np.array_equal(read[[17, 3]], ours.text_features([prompts[17], prompts[3]]))


def test_a_prompt_too_long_keeps_its_end_and_is_counted(ours: JointBackbone) -> None:
    exact, over = " ".join(["cat"] * 75), " ".join(["cat"] * 76)
    numbers = tokenizer_of(CONFIG).encode([exact, over])
    assert numbers.shape == (2, 77)
    assert numbers[:, -1].tolist() == [49407, 49407]
    assert ours.truncated([exact, over, "cat"]) == 1


def test_no_images_and_no_prompts_have_no_features(ours: JointBackbone) -> None:
    assert ours.features([]).shape == (0, 24)
    assert ours.text_features([]).shape == (0, 24)


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_the_named_models_are_built_from_open_clips_tables(name: str) -> None:
    known = published(name)
    model, tag = SHORT_NAMES[name].removeprefix("open_clip:").split("/")
    assert known.name == name
    with torch.device("meta"):
        ours = {key: tensor.shape for key, tensor in build(known.config).state_dict().items()}
        theirs = open_clip.create_model(model, device="meta").state_dict()
    assert ours == {key: tensor.shape for key, tensor in theirs.items()}
    assert known.config["quick_gelu"] is (tag == "openai")
    assert known.addresses[0].endswith("/resolve/main/open_clip_model.safetensors")
    assert known.licence == "MIT"


@pytest.mark.parametrize("name", ["EVA02-B-16/merged2b_s8b_b131k", "MobileCLIP-B/datacompdr", "RN50/openai"])
def test_towers_of_other_kinds_are_built_as_open_clip_builds_them(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = (
            build(published(f"open_clip:{name}").config),
            open_clip.create_model(name.split("/")[0], device="meta"),
        )
    assert {key: tensor.shape for key, tensor in ours.state_dict().items()} == {
        key: tensor.shape for key, tensor in theirs.state_dict().items()
    }


@pytest.mark.parametrize(
    "name", ["roberta-ViT-B-32/laion2b_s12b_b32k", "ViT-B-16-SigLIP/webli", "coca_ViT-B-32/laion2b_s13b_b90k"]
)
def test_a_model_whose_tokenizer_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(BadWeights) as caught:
        published(f"open_clip:{name}")
    assert caught.value.code == "tokenizer-not-included"


@pytest.mark.parametrize("name", ["open_clip:ViT-B-32/nothing", "open_clip:nothing", "nothing"])
def test_unknown_weights_are_told(name: str) -> None:
    with pytest.raises(BadWeights) as caught:
        published(name)
    assert caught.value.code == "no-such-weights"
