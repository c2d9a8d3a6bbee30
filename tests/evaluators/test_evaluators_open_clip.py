"""The small CLIP: it trains in seconds, tells digits apart, finds copies, and does not care about batches."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from imprimatur_evaluators.backbones import Catalogue, JointBackbone, load, load_joint
from imprimatur_evaluators.backbones.open_clip_model import SMALL_DIGITS, build, tokenizer_of
from imprimatur_evaluators.backbones.tokenizer import WordTokenizer
from imprimatur_evaluators.backbones.training import train
from imprimatur_evaluators.errors import BadRequest, BadWeights
from imprimatur_evaluators.features import image_features
from imprimatur_evaluators.images import Images
from imprimatur_evaluators.statistics.alignment import matches, retrieval_accuracy
from imprimatur_evaluators.statistics.similarity import calibrate, nearest

from .conftest import WORDS, Digits

CAPTIONS = [f"a handwritten {word}" for word in WORDS]


@pytest.fixture(scope="module")
def enlarged(digits: Digits) -> Digits:
    """The digits upscaled bicubically to 32x32, as the demo does."""
    pictures = [
        np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC)) for image in digits.images
    ]
    return Digits(np.stack(pictures), digits.labels)


@pytest.fixture(scope="module")
def catalogue(enlarged: Digits, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """A catalogue with the small CLIP, trained on 1,200 digits."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    model = build(SMALL_DIGITS)
    part = enlarged.part(slice(0, 1200))
    train(model, SMALL_DIGITS, part.images, part.captions, steps=150, seed=0)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "w.safetensors")
    made = Catalogue(folder / "catalogue")
    made.add("digits-clip", folder / "w.safetensors", SMALL_DIGITS, licence="Apache-2.0", source="trained in a test")
    return made


@pytest.fixture(scope="module")
def clip(catalogue: Catalogue) -> JointBackbone:
    return load_joint("digits-clip", catalogue)


def test_held_out_digits_find_their_caption(clip: JointBackbone, enlarged: Digits) -> None:
    held_out = enlarged.part(slice(1200, None))
    found = matches(image_features(held_out.images, clip), clip.text_features(CAPTIONS), held_out.labels)
    assert retrieval_accuracy(found).value > 0.97


def test_features_do_not_depend_on_the_batch(clip: JointBackbone, enlarged: Digits) -> None:
    images = enlarged.images[:150]
    together = image_features(images, clip)
    alone = np.concatenate([image_features(images[row : row + 1], clip) for row in range(0, 150, 10)])
    np.testing.assert_allclose(alone, together[::10], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-12)


def _recompressed(images: Images) -> Images:
    copies = []
    for image in images:
        written = BytesIO()
        Image.fromarray(image).save(written, "JPEG", quality=60)
        copies.append(np.asarray(Image.open(written)))
    return np.stack(copies)


def _noised(images: Images) -> Images:
    noise = np.random.default_rng(0).normal(0, 10, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def _shifted(images: Images) -> Images:
    return np.roll(images, 1, axis=2)


def _cropped(images: Images) -> Images:
    inner = images[:, 1:-1, 1:-1]
    return np.stack([np.asarray(Image.fromarray(one).resize((32, 32), Image.Resampling.BICUBIC)) for one in inner])


@pytest.mark.parametrize("change", [_recompressed, _noised, _shifted, _cropped])
def test_changed_copies_are_found_above_the_calibrated_threshold(clip: JointBackbone, enlarged: Digits, change) -> None:  # type: ignore[no-untyped-def]
    protected, held_out = enlarged.images[:10], enlarged.images[1200:]
    works = image_features(protected, clip)
    threshold = calibrate(nearest(image_features(held_out, clip), works).similarity, 0.01)
    copies = nearest(image_features(change(protected), clip), works)
    assert (copies.similarity > threshold.value).mean() >= 0.9
    assert (copies.work == np.arange(10)).mean() >= 0.9


def test_weights_that_do_not_fit_are_refused(catalogue: Catalogue) -> None:
    wider = {**SMALL_DIGITS, "embed_dim": 48}
    catalogue.add("wider", catalogue.entry("digits-clip").path, wider, licence="none", source="test")
    with pytest.raises(BadWeights) as caught:
        load("wider", catalogue)
    assert caught.value.code == "weights-do-not-fit"


def test_training_repeats_by_seed_and_reports_each_step(enlarged: Digits) -> None:
    def losses(seed: int) -> list[float]:
        torch.manual_seed(0)
        part, seen = enlarged.part(slice(0, 64)), []
        model = build(SMALL_DIGITS)
        found = train(
            model, SMALL_DIGITS, part.images, part.captions, steps=2, seed=seed, on_step=lambda *step: seen.append(step)
        )
        assert seen == [(1, 2, found[0]), (2, 2, found[1])]
        assert not model.training
        return found

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_every_image_needs_a_caption(enlarged: Digits) -> None:
    with pytest.raises(BadRequest) as caught:
        train(build(SMALL_DIGITS), SMALL_DIGITS, enlarged.images[:3], ["a"], steps=1, seed=0)
    assert caught.value.code == "bad-captions"


def test_a_long_prompt_keeps_its_end_and_is_counted() -> None:
    tokenizer = tokenizer_of(SMALL_DIGITS)
    assert isinstance(tokenizer, WordTokenizer)
    long = "a handwritten digit a handwritten digit seven seven seven"
    (row,) = tokenizer.encode([long])
    assert row[-1] == tokenizer.size - 1 == row.max()
    assert tokenizer.truncated([long, "a handwritten seven"]) == 1


def test_unknown_words_share_a_number_and_case_does_not_matter() -> None:
    tokenizer = tokenizer_of(SMALL_DIGITS)
    one, other, known = tokenizer.encode(["A Handwritten zebra", "a handwritten yak!", "a handwritten one"])
    assert one.tolist() == other.tolist() != known.tolist()
