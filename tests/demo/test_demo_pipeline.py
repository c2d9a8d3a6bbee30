"""The small pipeline: its tokenizer, its weights by seed, what a fine-tune shares, and its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from imprimatur.demo import digits, pipeline
from imprimatur.registry.admission import admit


def flat(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in module.parameters()])


def test_each_word_of_the_captions_is_one_token() -> None:
    words = pipeline.tokenizer()

    assert [len(words.tokenize(word)) for word in pipeline.WORDS] == [1] * len(pipeline.WORDS)
    assert words.decode(words("a handwritten seven").input_ids, skip_special_tokens=True) == "a handwritten seven"


def test_a_word_that_is_not_in_the_vocabulary_is_spelled_not_lost() -> None:
    words = pipeline.tokenizer()

    ids = words("un château").input_ids

    assert words.decode(ids, skip_special_tokens=True) == "un château"


def test_prompts_are_padded_and_cut_to_the_encoders_length() -> None:
    ids = pipeline.token_ids(pipeline.tokenizer(), ["a", "seven " * 40])

    assert ids.shape == (2, pipeline.PROMPT_TOKENS)
    assert ids.max() < len(pipeline.tokenizer())


def test_the_seed_alone_decides_the_first_weights() -> None:
    before = torch.random.get_rng_state()
    one, again, other = pipeline.untrained(1), pipeline.untrained(1), pipeline.untrained(2)

    assert torch.equal(torch.random.get_rng_state(), before)
    for part in ("unet", "vae", "text_encoder"):
        assert torch.equal(flat(getattr(one, part)), flat(getattr(again, part)))
        assert not torch.equal(flat(getattr(one, part)), flat(getattr(other, part)))


def test_a_fine_tune_has_its_own_denoiser_and_shares_the_rest() -> None:
    base = pipeline.untrained(0)
    kept = flat(base.unet).clone()

    tuned = pipeline.with_own_denoiser(base)
    with torch.no_grad():
        next(iter(tuned.unet.parameters())).add_(1.0)

    assert torch.equal(flat(base.unet), kept)
    assert tuned.vae is base.vae
    assert tuned.text_encoder is base.text_encoder


def test_an_image_depends_on_its_own_seed_and_not_on_its_batch() -> None:
    made = pipeline.untrained(0)
    prompts = [digits.caption(label) for label in range(4)]

    together = pipeline.generate(made, prompts, seed=5, steps=2)
    apart = pipeline.generate(made, prompts, seed=5, steps=2, batch=3)

    assert together.shape == (4, 32, 32, 3)
    assert np.abs(together.astype(int) - apart.astype(int)).max() <= 1  # another batch rounds otherwise
    assert not np.array_equal(together, pipeline.generate(made, prompts, seed=6, steps=2))


def test_the_saved_pipeline_is_admitted_by_the_registry(tmp_path: Path) -> None:
    pipeline.untrained(0).save_pretrained(tmp_path / "made", safe_serialization=True)

    admitted = admit(tmp_path / "made")

    assert admitted.pipeline == "StableDiffusionPipeline"
    assert len(admitted.weight_files) == 3
    assert all(name.endswith(".safetensors") for name in admitted.weight_files)
