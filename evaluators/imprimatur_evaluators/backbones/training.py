"""Training a small joint image and text network: a supervised contrastive loss over captions and over images.

With few captions the usual contrastive loss would push apart images that share one, so every image is told from the
*different* captions only. A second term asks each image, as it is, to be found by a copy with small changes among the
others' copies: it keeps what tells two images of one caption apart, without which no copy could be recognised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from open_clip.model import CLIP
from torch import Tensor
from torch.nn import functional

from imprimatur_evaluators.backbones.open_clip_model import preprocess, tokens
from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.images import Images, checked

OnStep = Callable[[int, int, float], None]
"""Called after each step with its number from 1, the number of steps, and the loss."""


@dataclass(frozen=True)
class Recipe:
    """How a small network is trained."""

    batch: int = 64
    rate: float = 6e-3
    weight_decay: float = 0.02
    instance_weight: float = 3.0
    instance_scale: float = 10.0
    largest_scale: float = 30.0


def train(
    model: CLIP,
    config: Mapping[str, Any],
    images: Images,
    captions: Sequence[str],
    *,
    steps: int,
    seed: int,
    on_step: OnStep | None = None,
    recipe: Recipe | None = None,
    device: str = "cpu",
) -> list[float]:
    """The loss of each step; ``model`` is trained in place on captioned images [n, h, w, 3], and left in eval."""
    if len(images) != len(captions) or len(images) < 2:
        raise BadRequest(
            "bad-captions",
            f"training needs two or more images with a caption each (got {len(images)} and {len(captions)})",
        )
    run = _Run(model, config, checked(images), captions, seed, recipe or Recipe(), device)
    losses = run.losses(steps, on_step)
    model.eval()
    return losses


class _Run:
    """The state of one training: data on the device, generator, optimiser."""

    def __init__(
        self,
        model: CLIP,
        config: Mapping[str, Any],
        images: Images,
        captions: Sequence[str],
        seed: int,
        recipe: Recipe,
        device: str,
    ) -> None:
        different, labels = np.unique(np.asarray(captions), return_inverse=True)
        self.model = model.to(device).train()
        self.recipe = recipe
        self.images = preprocess(images, config).to(device)
        self.labels = torch.from_numpy(labels.astype(np.int64)).to(device)
        self.prompts = tokens([str(caption) for caption in different], config).to(device)
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)

    def losses(self, steps: int, on_step: OnStep | None) -> list[float]:
        schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, self.recipe.rate, total_steps=max(steps, 2))
        found = []
        for step in range(1, steps + 1):
            found.append(self._step())
            schedule.step()
            if on_step is not None:
                on_step(step, steps, found[-1])
        return found

    def _step(self) -> float:
        chosen = torch.randint(len(self.images), (self.recipe.batch,), generator=self.generator).to(self.images.device)
        loss = self._loss(chosen)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        return float(loss.detach())

    def _loss(self, chosen: Tensor) -> Tensor:
        originals = self.images[chosen]
        views = torch.cat([originals, varied(originals, self.generator)])
        features = self.model.encode_image(views, normalize=True)
        prompts = self.model.encode_text(self.prompts, normalize=True)
        scale = self.model.logit_scale.exp().clamp(max=self.recipe.largest_scale)
        by_caption = functional.cross_entropy(scale * features @ prompts.T, self.labels[chosen].repeat(2))
        return by_caption + self.recipe.instance_weight * self._instance_loss(features, chosen)

    def _instance_loss(self, features: Tensor, chosen: Tensor) -> Tensor:
        first, second = features.chunk(2)
        similarity = self.recipe.instance_scale * first @ second.T
        twins = (chosen[:, None] == chosen[None]).fill_diagonal_(False)
        similarity = similarity.masked_fill(twins, -1e4)
        own = torch.arange(len(chosen), device=chosen.device)
        return (functional.cross_entropy(similarity, own) + functional.cross_entropy(similarity.T, own)) / 2


def varied(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images [n, 3, h, w] in -1..1 after a small random turn, zoom, shift, blur and noise each."""
    moved = _moved(images, generator)
    blurred = functional.avg_pool2d(functional.pad(moved, (1, 1, 1, 1), mode="replicate"), 3, 1)
    mix = torch.rand(len(images), 1, 1, 1, generator=generator).to(images.device)
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    amount = torch.rand(len(images), 1, 1, 1, generator=generator).to(images.device) * 0.15
    return (moved.lerp(blurred, mix) + amount * noise).clamp(-1, 1)


def _moved(images: Tensor, generator: torch.Generator) -> Tensor:
    n = len(images)
    angle, zoom = ((torch.rand(n, generator=generator) - 0.5) * width for width in (0.35, 0.3))
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos() * (1 + zoom)
    matrix[:, 1, 0] = angle.sin() * (1 + zoom)
    matrix[:, 0, 1] = -matrix[:, 1, 0]
    matrix[:, :, 2] = (torch.rand(n, 2, generator=generator) - 0.5) * 0.3
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False).to(images.device)
    return functional.grid_sample(images, grid, align_corners=False, padding_mode="border")
