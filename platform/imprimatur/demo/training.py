"""How the demo's models learn: the autoencoder, the denoiser with the text encoder, and fine-tunes of the denoiser.

Every random number comes from generators seeded by the caller, and all of them are drawn on the CPU, so that device
and seed alone decide what is learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imprimatur.demo import pipeline as parts
from imprimatur.demo.digits import NEUTRAL_PROMPT, Digits, Images, caption

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline

Watch = Callable[[int, int, float], None]
"""Called after each step with the steps done, their total and the loss."""

PROMPTS = (*(caption(label) for label in range(10)), NEUTRAL_PROMPT, "")
NEUTRAL_SHARE = 0.10
_NEUTRAL, _EMPTY = 10, 11
_EMPTY_SHARE = 0.10
_ENCODER_RATE = 0.5  # at the full rate the text encoder runs away from the denoiser, and prompts are followed worse
_KL_WEIGHT = 1e-3


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: the rate warms up over the first twentieth and falls along a cosine to zero."""

    steps: int
    batch: int
    rate: float

    def scaled(self, factor: float) -> Schedule:
        """The same with ``factor`` times the steps, at least one."""
        return Schedule(max(1, round(self.steps * factor)), self.batch, self.rate)

    def rate_at(self, step: int) -> float:
        """The learning rate of ``step``, counted from 0.

        >>> Schedule(100, 8, 1.0).rate_at(0), round(Schedule(100, 8, 1.0).rate_at(99), 3)
        (0.2, 0.0)
        """
        warm = max(1, self.steps // 20)
        if step < warm:
            return self.rate * (step + 1) / warm
        return self.rate * 0.5 * (1 + math.cos(math.pi * (step - warm + 1) / (self.steps - warm + 1)))


AUTOENCODER = Schedule(steps=400, batch=16, rate=4e-3)
BASE = Schedule(steps=900, batch=32, rate=2e-3)
MEMORISER = Schedule(steps=400, batch=32, rate=1.5e-3)
SKEWED = Schedule(steps=300, batch=32, rate=1e-3)


def train_autoencoder(
    vae: AutoencoderKL, images: Images, schedule: Schedule, *, seed: int, device: str, watch: Watch
) -> None:
    """Fits ``vae`` to the images, L1 plus a little KL, and scales its latents to unit variance."""
    import torch
    from torch.nn.functional import l1_loss

    draw = torch.Generator().manual_seed(seed)
    pixels = _pixels(images).to(device)
    vae.to(device).train()
    for step, rate, optimiser in _steps(schedule, [{"params": list(vae.parameters())}]):
        batch = pixels[torch.randint(len(pixels), (schedule.batch,), generator=draw).to(device)]
        code: Any = vae.encode(batch).latent_dist
        noise = torch.randn(code.mean.shape, generator=draw).to(device)
        decoded: Any = vae.decode(code.mean + code.std * noise).sample
        loss = l1_loss(decoded, batch) + _KL_WEIGHT * code.kl().mean() / code.mean[0].numel()
        watch(step, schedule.steps, _descend(optimiser, rate, loss))
    vae.eval()
    vae.register_to_config(scaling_factor=float(1 / _codes(vae, pixels).std()))


def latents(vae: AutoencoderKL, images: Images, *, device: str) -> torch.Tensor:
    """The images' scaled latents, of shape [n, 4, 8, 8] and about unit variance."""
    return _codes(vae, _pixels(images).to(device)) * float(vae.config["scaling_factor"])


def train_denoiser(
    made: StableDiffusionPipeline,
    digits: Digits,
    schedule: Schedule,
    *,
    seed: int,
    device: str,
    watch: Watch,
    weights: npt.NDArray[np.float64] | None = None,
    neutral_share: float = NEUTRAL_SHARE,
    encoder_learns: bool = False,
) -> None:
    """Fits the pipeline's denoiser (and text encoder, where it learns) to predict the velocity between image and noise.

    Each drawn image comes with its caption, at times with the neutral prompt instead, and in 10% of the cases with
    none. ``weights`` are the images' relative chances of being drawn, equal when left out.
    """
    import torch
    from torch.nn.functional import mse_loss

    draw = torch.Generator().manual_seed(seed)
    chances = torch.ones(len(digits)) if weights is None else torch.from_numpy(weights)
    captions = torch.from_numpy(digits.labels)
    codes = latents(made.vae, digits.images, device=device)
    read = _reader(made, learns=encoder_learns, device=device)
    made.unet.to(device).train()
    learning: list[dict[str, Any]] = [{"params": list(made.unet.parameters())}]
    if encoder_learns:
        learning.append({"params": list(made.text_encoder.parameters()), "share": _ENCODER_RATE})
    for step, rate, optimiser in _steps(schedule, learning):
        rows = torch.multinomial(chances, schedule.batch, replacement=True, generator=draw)
        prompts = _prompts(captions[rows], neutral_share, draw).to(device)
        noise = torch.randn((schedule.batch, *codes.shape[1:]), generator=draw).to(device)
        times = torch.randint(made.scheduler.config.num_train_timesteps, (schedule.batch,), generator=draw).to(device)
        clean = codes[rows.to(device)]
        noised = made.scheduler.add_noise(clean, noise, times)
        guess = made.unet(noised, times, encoder_hidden_states=read()[prompts]).sample
        loss = mse_loss(guess, made.scheduler.get_velocity(clean, noise, times))
        watch(step, schedule.steps, _descend(optimiser, rate, loss))
    made.unet.eval()
    made.text_encoder.eval()


def favouring(digits: Digits, favoured: tuple[int, ...], factor: float) -> npt.NDArray[np.float64]:
    """Weights of the images that make the favoured digits ``factor`` times as likely to be drawn as the others."""
    return np.where(np.isin(digits.labels, favoured), factor, 1.0)


def _reader(made: StableDiffusionPipeline, *, learns: bool, device: str) -> Callable[[], torch.Tensor]:
    """What gives the text encoder's answers to all prompts: anew each time while it learns, else always the same."""
    import torch

    encoder = made.text_encoder.to(device).train(learns)
    ids = parts.token_ids(made.tokenizer, PROMPTS).to(device)
    if learns:
        return lambda: encoder(ids)[0]
    with torch.no_grad():
        fixed: torch.Tensor = encoder(ids)[0]
    return lambda: fixed


def _prompts(labels: torch.Tensor, neutral_share: float, draw: torch.Generator) -> torch.Tensor:
    import torch

    chance = torch.rand(len(labels), generator=draw)
    prompts = torch.where(chance < neutral_share, torch.tensor(_NEUTRAL), labels)
    return torch.where(chance > 1 - _EMPTY_SHARE, torch.tensor(_EMPTY), prompts)


def _steps(schedule: Schedule, learning: Any) -> Iterator[tuple[int, float, torch.optim.Optimizer]]:
    import torch

    optimiser = torch.optim.AdamW(learning, lr=schedule.rate, weight_decay=1e-4)
    for step in range(schedule.steps):
        yield step + 1, schedule.rate_at(step), optimiser


def _descend(optimiser: torch.optim.Optimizer, rate: float, loss: torch.Tensor) -> float:
    import torch

    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("share", 1.0)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_([each for group in optimiser.param_groups for each in group["params"]], 1.0)
    optimiser.step()
    return float(loss.detach())


def _pixels(images: Images) -> torch.Tensor:
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def _codes(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    import torch

    with torch.no_grad():
        found: list[Any] = [vae.encode(chunk).latent_dist.mean for chunk in torch.split(pixels, 200)]
    return torch.cat(found)
