"""How the models learn: rates, seeds, what changes and what must not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from diffusers import StableDiffusionPipeline

from imprimatur.demo import digits, pipeline, training
from imprimatur.demo.digits import Digits
from imprimatur.demo.training import Schedule

FEW = Schedule(steps=3, batch=8, rate=1e-3)


@pytest.fixture(scope="module")
def some() -> Digits:
    return digits.split(digits.load(), seed=0).protected


def flat(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in module.parameters()])


def losses_of(
    made: StableDiffusionPipeline,
    some: Digits,
    schedule: Schedule = FEW,
    seed: int = 0,
    *,
    encoder_learns: bool = False,
    weights: npt.NDArray[np.float64] | None = None,
) -> list[float]:
    losses: list[float] = []
    training.train_denoiser(
        made,
        some,
        schedule,
        seed=seed,
        device="cpu",
        watch=lambda done, total, loss: losses.append(loss),
        encoder_learns=encoder_learns,
        weights=weights,
    )
    return losses


def test_the_rate_rises_to_its_height_and_falls_to_nothing() -> None:
    schedule = Schedule(steps=100, batch=8, rate=2.0)

    rates = [schedule.rate_at(step) for step in range(100)]

    assert rates[4] == max(rates) == 2.0
    assert rates[:5] == sorted(rates[:5])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < 0.01


def test_a_scaled_schedule_takes_at_least_one_step() -> None:
    assert FEW.scaled(0.01) == replace(FEW, steps=1)
    assert training.BASE.scaled(0.5).steps == training.BASE.steps // 2


def test_the_same_seed_learns_the_same_and_another_does_not(some: Digits) -> None:
    runs = [pipeline.untrained(0) for _ in range(3)]

    losses = [losses_of(made, some, seed=seed) for made, seed in zip(runs, (4, 4, 5), strict=True)]

    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(flat(runs[0].unet), flat(runs[1].unet))
    assert not torch.equal(flat(runs[0].unet), flat(runs[2].unet))


def test_the_text_encoder_learns_only_where_it_is_told_to(some: Digits) -> None:
    made = pipeline.untrained(0)
    first = flat(made.text_encoder).clone()

    losses_of(made, some)
    assert torch.equal(flat(made.text_encoder), first)

    losses_of(made, some, encoder_learns=True)
    assert not torch.equal(flat(made.text_encoder), first)
    assert not made.text_encoder.training
    assert not made.unet.training


def test_the_autoencoder_leaves_latents_of_unit_variance(some: Digits) -> None:
    made = pipeline.untrained(0)
    losses: list[float] = []

    training.train_autoencoder(
        made.vae,
        some.images,
        Schedule(steps=30, batch=10, rate=4e-3),
        seed=0,
        device="cpu",
        watch=lambda done, total, loss: losses.append(loss),
    )

    assert np.mean(losses[-3:]) < 0.8 * losses[0]
    assert float(training.latents(made.vae, some.images, device="cpu").std()) == pytest.approx(1.0, abs=1e-3)


def test_the_denoiser_learns(some: Digits) -> None:
    made = pipeline.untrained(0)

    losses = losses_of(made, some, Schedule(steps=30, batch=8, rate=2e-3), encoder_learns=True)

    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_images_of_no_weight_are_never_drawn(some: Digits) -> None:
    only_threes = np.where(some.labels == 3, 1.0, 0.0)
    three = some.take(np.flatnonzero(some.labels == 3))

    drawn = losses_of(pipeline.untrained(0), some, weights=only_threes)

    assert drawn == pytest.approx(losses_of(pipeline.untrained(0), three, weights=np.ones(1)), rel=1e-4)
    assert drawn != pytest.approx(losses_of(pipeline.untrained(0), some, weights=np.ones(10)), rel=1e-4)


def test_favoured_digits_weigh_more(some: Digits) -> None:
    found = training.favouring(some, (3, 8), 30.0)

    assert list(found) == [1, 1, 1, 30, 1, 1, 1, 1, 30, 1]
