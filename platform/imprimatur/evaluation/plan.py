"""How an evaluation's images are cut into shards, and which seed each image has. Pure: no images are made here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from imprimatur.core.digests import Digest, digest_of_json
from imprimatur.core.errors import BadInput
from imprimatur.evaluation.document import CODE
from imprimatur.evaluation.model import Suite

_FORM = 1  # raised when the same inputs would give other pixels


@dataclass(frozen=True)
class Prompt:
    """One prompt of a prompt set; ``label`` is empty where the prompt asks for no class."""

    text: str
    label: str
    group: str


@dataclass(frozen=True)
class Shard:
    """A fixed block of samples of one prompt: the work that is done, stored and taken over as a whole."""

    images: str
    prompt: Prompt
    first: int
    count: int


def shards_of(suite: Suite, prompts: Sequence[Prompt]) -> tuple[Shard, ...]:
    """Every shard of a suite, in the order of its sets, of the prompts, and of the samples.

    Raises BadInput ``bad-suite`` where a set names a group that no prompt belongs to.
    """
    shards: list[Shard] = []
    for images in suite.sets:
        members = [prompt for prompt in prompts if prompt.group == images.group]
        if not members:
            groups = ", ".join(sorted({prompt.group for prompt in prompts}))
            raise BadInput(
                CODE, f"sets.{images.name}.group: no prompt is of group {images.group!r} (expected {groups})"
            )
        for prompt in members:
            starts = range(0, images.per_prompt, suite.batch)
            shards += [
                Shard(images.name, prompt, first, min(suite.batch, images.per_prompt - first)) for first in starts
            ]
    return tuple(shards)


def key_of(shard: Shard, *, manifest: Digest, suite: Suite, seed: int, device: str) -> Digest:
    """The digest of everything that decides the shard's pixels; the same work has the same key in any evaluation."""
    return digest_of_json(
        {
            "form": _FORM,
            "manifest": manifest,
            "steps": suite.steps,
            "guidance": suite.guidance,
            "device": device,
            "prompt": shard.prompt.text,
            "seeds": [str(each) for each in seeds_of(shard, seed)],
        }
    )


def seeds_of(shard: Shard, seed: int) -> tuple[int, ...]:
    """The seed of each of the shard's images."""
    indices = range(shard.first, shard.first + shard.count)
    return tuple(sample_seed(seed, shard.images, shard.prompt.text, index) for index in indices)


def sample_seed(seed: int, images: str, prompt: str, index: int) -> int:
    """The seed of one image, 0 to 2^53 - 1: a hash of the run's seed, the set, the prompt and the sample's number.

    >>> sample_seed(0, "neutral", "a handwritten digit", 0)
    688912889523853
    """
    text = "\0".join((str(seed), images, prompt, str(index)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 11
