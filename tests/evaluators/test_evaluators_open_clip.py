"""The small CLIP: it trains in seconds, tells digits apart, and does not care about batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imprimatur_evaluators.backbones import Catalogue, JointBackbone, load, load_joint
from imprimatur_evaluators.backbones.open_clip_model import SMALL_DIGITS, build, tokenizer_of
from imprimatur_evaluators.backbones.tokenizer import WordTokenizer
from imprimatur_evaluators.backbones.training import train
from imprimatur_evaluators.errors import BadRequest, BadWeights
from imprimatur_evaluators.features import image_features
from imprimatur_evaluators.statistics.alignment import matches, retrieval_accuracy
from trained_digits import WORDS, enlarged_digits, trained_catalogue

from .conftest import Digits

CAPTIONS = [f"a handwritten {word}" for word in WORDS]


@pytest.fixture(scope="module")
def enlarged() -> Digits:
    """The digits upscaled bicubically to 32x32, as the demo does."""
    return Digits(*enlarged_digits())


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """A catalogue with the small CLIP, trained on 1,200 digits."""
    return trained_catalogue(tmp_path_factory.mktemp("weights"))


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
