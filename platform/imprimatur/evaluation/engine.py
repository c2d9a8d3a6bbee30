"""Generating a shard's images with a loaded pipeline. The one place of this room that imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imprimatur.core.digests import Digest
from imprimatur.core.errors import Refused
from imprimatur.evaluation.model import Suite
from imprimatur.evaluation.plan import Prompt, Shard, key_of, seeds_of
from imprimatur.evaluation.shards import Images, ShardStore

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

Progress = Callable[[int], None]
"""Told after each shard how many images there are now."""


@dataclass(frozen=True)
class Sampled:
    """The images of one set, uint8 [n, height, width, 3], each with its prompt and seed."""

    images: Images
    prompts: tuple[Prompt, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Engine:
    """Makes the images of a suite on one machine, shard by shard, skipping what is already there."""

    pipeline: DiffusionPipeline
    manifest: Digest
    suite: Suite
    seed: int
    shards: ShardStore

    def sample(self, plan: Sequence[Shard], progress: Progress) -> dict[str, Sampled]:
        """The images of every set of the suite."""
        done = 0
        made: list[Images] = []
        for shard in plan:
            made.append(self._images_of(shard))
            done += shard.count
            progress(done)
        return {
            images.name: _sampled(
                [(s, pixels) for s, pixels in zip(plan, made, strict=True) if s.images == images.name], self.seed
            )
            for images in self.suite.sets
        }

    def _images_of(self, shard: Shard) -> Images:
        device = self.pipeline.device.type
        key = key_of(shard, manifest=self.manifest, suite=self.suite, seed=self.seed, device=device)
        known = self.shards.get(key)
        if known is not None:
            return known
        images = generate(self.pipeline, shard, self.suite, self.seed)
        self.shards.put(key, images)
        return images


def device_name(pipeline: DiffusionPipeline) -> str:
    """What the pipeline stands on: ``cpu``, or ``cuda`` with the name of the GPU."""
    import torch

    device = pipeline.device
    return "cpu" if device.type == "cpu" else f"{device.type} ({torch.cuda.get_device_name(device)})"


def generate(pipeline: DiffusionPipeline, shard: Shard, suite: Suite, seed: int) -> Images:
    """The shard's images, uint8 [n, height, width, 3]; each has a generator of its own, so that the batch matters not.

    Raises Refused ``broken-images`` where the pipeline draws something that is no number.
    """
    import torch

    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    generators = [torch.Generator("cpu").manual_seed(each) for each in seeds_of(shard, seed)]
    with torch.inference_mode():
        drawn = pipeline(
            prompt=[shard.prompt.text] * shard.count,
            generator=generators,
            num_inference_steps=suite.steps,
            guidance_scale=suite.guidance,
            output_type="np",
        ).images
    if not np.isfinite(drawn).all():
        raise Refused(
            "broken-images",
            f"The pipeline drew pixels that are no numbers for {shard.prompt.text!r} (expected values from 0 to 1)",
        )
    pixels: Images = (np.asarray(drawn) * 255).round().astype(np.uint8)
    return pixels


def _sampled(parts: Sequence[tuple[Shard, Images]], seed: int) -> Sampled:
    return Sampled(
        images=np.concatenate([pixels for _, pixels in parts]),
        prompts=tuple(shard.prompt for shard, _ in parts for _ in range(shard.count)),
        seeds=tuple(each for shard, _ in parts for each in seeds_of(shard, seed)),
    )
