"""The shells' states merge to what one pass gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imprimatur_evaluators.metrics import FrechetDistance, KernelDistance, RetrievalAccuracy
from imprimatur_evaluators.statistics import Moments, frechet_distance
from imprimatur_evaluators.statistics.kernel import kernel_distance

WIDTH = 6


@pytest.fixture
def real() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(60, WIDTH)))


@pytest.fixture
def generated() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(50, WIDTH)) + 0.4)


def test_frechet_merges_to_one_pass(real: torch.Tensor, generated: torch.Tensor) -> None:
    first, second = FrechetDistance(WIDTH), FrechetDistance(WIDTH)
    first.update(real[:20], real=True)
    first.update(generated[:45], real=False)
    second.update(real[20:], real=True)
    second.update(generated[45:], real=False)
    first.merge_state(second)
    whole = frechet_distance(Moments.from_features(real.numpy()), Moments.from_features(generated.numpy()))
    assert float(first.compute()) == pytest.approx(whole, rel=1e-10)


def test_frechet_reduces_many_processes(real: torch.Tensor, generated: torch.Tensor) -> None:
    shards = []
    for part in real.chunk(4):
        shard = FrechetDistance(WIDTH)
        shard.update(part, real=True)
        shards.append(shard.real)
    whole = FrechetDistance(WIDTH)
    whole.update(real, real=True)
    torch.testing.assert_close(whole._merged(torch.stack([*shards, FrechetDistance(WIDTH).real])), whole.real)


def test_kernel_merges_to_one_pass(real: torch.Tensor, generated: torch.Tensor) -> None:
    first, second = KernelDistance(), KernelDistance()
    first.update(real[:20], real=True)
    second.update(real[20:], real=True)
    second.update(generated, real=False)
    first.merge_state(second)
    assert float(first.compute()) == pytest.approx(kernel_distance(real.numpy(), generated.numpy()).value, rel=1e-10)


def test_retrieval_merges_to_one_pass() -> None:
    rng = np.random.default_rng(0)
    images, prompts = torch.from_numpy(rng.normal(size=(40, WIDTH))), torch.from_numpy(rng.normal(size=(4, WIDTH)))
    own = torch.arange(40) % 4
    first, second, whole = RetrievalAccuracy(), RetrievalAccuracy(), RetrievalAccuracy()
    first.update(images[:13], prompts, own[:13])
    second.update(images[13:], prompts, own[13:])
    first.merge_state(second)
    whole.update(images, prompts, own)
    assert float(first.compute()) == float(whole.compute())
    assert 0 < float(whole.compute()) < 1


def test_reset_forgets(real: torch.Tensor, generated: torch.Tensor) -> None:
    metric = FrechetDistance(WIDTH)
    for _ in range(2):
        metric.reset()
        metric.update(real, real=True)
        metric.update(generated, real=False)
    assert float(metric.compute()) == pytest.approx(
        frechet_distance(Moments.from_features(real.numpy()), Moments.from_features(generated.numpy())), rel=1e-12
    )
