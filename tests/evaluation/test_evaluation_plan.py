"""How work is cut: every sample once, seeds that depend on nothing but what they are for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation_stage import SUITE
from imprimatur.core.errors import BadInput
from imprimatur.evaluation.document import parse
from imprimatur.evaluation.model import ImageSet
from imprimatur.evaluation.plan import Prompt, key_of, sample_seed, seeds_of, shards_of

_PROMPTS = (Prompt("zero", "0", "conditional"), Prompt("one", "1", "conditional"), Prompt("any", "", "neutral"))
_MANIFEST = "sha256:" + "0" * 64


@given(batch=st.integers(1, 60), per_prompt=st.integers(1, 60), seed=st.integers(0, 2**31 - 1))
def test_shards_cover_every_sample_once_however_they_are_cut(batch: int, per_prompt: int, seed: int) -> None:
    suite = replace(parse(SUITE), batch=batch, sets=(ImageSet("conditional", "conditional", per_prompt),))

    seeds = [each for shard in shards_of(suite, _PROMPTS) for each in seeds_of(shard, seed)]

    assert seeds == [
        sample_seed(seed, "conditional", text, index) for text in ("zero", "one") for index in range(per_prompt)
    ]
    assert len(set(seeds)) == 2 * per_prompt


def test_seeds_differ_by_run_set_prompt_and_number() -> None:
    seeds = {
        sample_seed(seed, images, prompt, index)
        for seed in (0, 1)
        for images in ("a", "b")
        for prompt in ("x", "y")
        for index in (0, 1)
    }

    assert len(seeds) == 16
    assert all(0 <= seed < 2**53 for seed in seeds)


def test_a_shards_key_covers_all_that_decides_its_pixels() -> None:
    suite = parse(SUITE)
    shard = shards_of(suite, _PROMPTS)[0]
    key = key_of(shard, manifest=_MANIFEST, suite=suite, seed=0, device="cpu")
    others = {
        key_of(shard, manifest="sha256:" + "1" * 64, suite=suite, seed=0, device="cpu"),
        key_of(shard, manifest=_MANIFEST, suite=replace(suite, steps=9), seed=0, device="cpu"),
        key_of(shard, manifest=_MANIFEST, suite=replace(suite, guidance=9.0), seed=0, device="cpu"),
        key_of(shard, manifest=_MANIFEST, suite=suite, seed=1, device="cpu"),
        key_of(shard, manifest=_MANIFEST, suite=suite, seed=0, device="cuda"),
        key_of(replace(shard, first=1), manifest=_MANIFEST, suite=suite, seed=0, device="cpu"),
        key_of(replace(shard, count=1), manifest=_MANIFEST, suite=suite, seed=0, device="cpu"),
        key_of(replace(shard, images="other"), manifest=_MANIFEST, suite=suite, seed=0, device="cpu"),
    }

    assert key not in others
    assert len(others) == 8
    assert key == key_of(shard, manifest=_MANIFEST, suite=replace(suite, name="other"), seed=0, device="cpu")


def test_a_group_without_prompts_is_refused() -> None:
    with pytest.raises(BadInput, match=r"sets\.neutral\.group: no prompt is of group 'neutral'"):
        shards_of(parse(SUITE), _PROMPTS[:2])
