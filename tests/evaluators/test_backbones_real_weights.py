"""What only the published weights can show. They are looked for where IMPRIMATUR_WEIGHTS says, and else skipped."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from imprimatur_evaluators.backbones import Catalogue, Entry, load, load_joint, load_preference
from imprimatur_evaluators.backbones.published import PUBLISHED, SHORT_NAMES, published
from imprimatur_evaluators.features import image_features
from imprimatur_evaluators.images import Images, resize
from imprimatur_evaluators.statistics.arrays import Array
from random_states import relative_difference

from .conftest import WORDS, Digits

FOLDER = "IMPRIMATUR_WEIGHTS"


@pytest.fixture
def entry(request: pytest.FixtureRequest) -> Entry:
    """The entry of published weights, verified; a loud skip where they are not there."""
    folder = os.environ.get(FOLDER)
    if not folder:
        pytest.skip(f"{FOLDER} names no catalogue of weights, so '{request.param}' was not tried")
    catalogue = Catalogue(Path(folder))
    if request.param not in {entry.name for entry in catalogue.entries()}:
        pytest.skip(f"{folder} has no '{request.param}', so it was not tried; fetch or import it")
    found = catalogue.verify(request.param)
    assert found.config == published(found.name).config
    assert published(found.name).digest in (None, found.digest)
    return found


@pytest.fixture(scope="module")
def pictures(digits: Digits) -> Images:
    """Four digits of each class, one class after the other, as pictures of 96 pixels."""
    chosen = np.concatenate([digits.images[digits.labels == label][:4] for label in range(10)])
    return np.stack([np.asarray(Image.fromarray(one).resize((96, 96), Image.Resampling.BICUBIC)) for one in chosen])


def _features(entry: Entry, images: Images) -> Array:
    return image_features(images, load(entry.name, Catalogue(entry.path.parent)))


@pytest.mark.parametrize("entry", ["inception-2015"], indirect=True)
def test_inceptions_own_extractor_makes_the_same_features_of_the_same_file(entry: Entry, pictures: Images) -> None:
    theirs = FeatureExtractorInceptionV3("reference", ["2048"], feature_extractor_weights_path=entry.path)
    with torch.inference_mode():
        (expected,) = theirs(torch.from_numpy(pictures[:4]).permute(0, 3, 1, 2))
    ours = load(f"{entry.name}:legacy-tensorflow", Catalogue(entry.path.parent))
    assert relative_difference(image_features(pictures[:4], ours), expected) < 1e-5


@pytest.mark.parametrize("entry", [name for name in PUBLISHED if name.startswith("dinov2")], indirect=True)
def test_timm_makes_nearly_the_same_class_tokens_of_the_same_file(entry: Entry, pictures: Images) -> None:
    """Nearly: timm antialiases the positions."""
    theirs = timm.create_model(
        entry.config["timm"],
        pretrained=True,
        pretrained_cfg_overlay={"file": str(entry.path), "num_classes": 0},
        num_classes=0,
        img_size=224,
    ).train(False)
    how = entry.config["preprocess"]
    mean, std = (torch.tensor(how[each]).view(3, 1, 1) for each in ("mean", "std"))
    pixels = torch.from_numpy(resize(pictures[:4], 224, how["mode"])).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        expected = theirs((pixels - mean) / std).double().numpy()
    found = _features(entry, pictures[:4])
    cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.95


@pytest.mark.parametrize("entry", SHORT_NAMES, indirect=True)
def test_open_clip_makes_the_same_features_and_prompts_find_their_digits(entry: Entry, pictures: Images) -> None:
    model, _, _ = SHORT_NAMES[entry.name].removeprefix("open_clip:").partition("/")
    theirs = open_clip.create_model(model, pretrained=str(entry.path), force_quick_gelu=entry.config["quick_gelu"])
    prompts = [f"a photo of the handwritten number {word}" for word in WORDS]
    with torch.inference_mode():
        expected = theirs.train(False).encode_text(open_clip.get_tokenizer(model)(prompts), normalize=True)
    ours = load_joint(entry.name, Catalogue(entry.path.parent))
    texts = ours.text_features(prompts)
    assert relative_difference(texts, expected) < 1e-5
    found = (image_features(pictures, ours) @ texts.T).argmax(axis=1)
    assert (found == np.arange(40) // 4).sum() > 10  # by chance 4; more than 10 in one case of a thousand


@pytest.mark.parametrize("entry", ["sscd-disc-mixup"], indirect=True)
def test_sscd_tells_copies_from_others_at_the_published_threshold(entry: Entry, pictures: Images) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 3), dtype=np.uint8)
    works = np.stack([np.asarray(Image.fromarray(one).resize((288, 288), Image.Resampling.BICUBIC)) for one in noise])
    works = np.concatenate([works, np.repeat(np.repeat(pictures[::20], 3, axis=1), 3, axis=2)])
    copies = []
    for work in works:
        written = BytesIO()
        Image.fromarray(work).save(written, "JPEG", quality=50)
        copies.append(np.asarray(Image.open(written)))
    similarity = _features(entry, np.stack(copies)) @ _features(entry, works).T
    assert np.diag(similarity).min() > 0.75
    assert (similarity - 2 * np.eye(len(works))).max() < 0.75


@pytest.mark.parametrize("entry", ["hpsv2", "hpsv2.1", "pickscore"], indirect=True)
def test_people_would_prefer_the_prompt_that_fits(entry: Entry, pictures: Images) -> None:
    ours = load_preference(entry.name, Catalogue(entry.path.parent))
    features = image_features(pictures, ours)
    fitting = ours.preferences(features, ["a blurred white handwritten digit on black"] * len(features))
    other = ours.preferences(features, ["a photograph of a green forest under a blue sky"] * len(features))
    assert (fitting > other).mean() > 0.9
