"""The same features into the peers' own functions give the same numbers, within the peers' error."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_kid import kernel_poly, mmd2
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from imprimatur_evaluators.statistics import (
    Moments,
    frechet_distance,
    kernel_distance,
    precision_recall_density_coverage,
)
from imprimatur_evaluators.statistics.arrays import Array

Pair = tuple[Array, Array]


@pytest.fixture(scope="module")
def pair() -> Pair:
    """Features as of 600 real and 500 generated images."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(48, 48)) / 7
    return rng.normal(size=(600, 48)) @ mixed, rng.normal(size=(500, 48)) @ mixed * 1.2 + 0.1


def _statistics(features: Array) -> dict[str, Array]:
    return {"mu": features.mean(axis=0), "sigma": np.cov(features, rowvar=False)}


def _ours(pair: Pair) -> float:
    return frechet_distance(*(Moments.from_features(side) for side in pair))


def test_torch_fidelity_gives_the_same_frechet_distance(pair: Pair) -> None:
    theirs = fid_statistics_to_metric(*(_statistics(side) for side in pair), verbose=False)
    assert _ours(pair) == pytest.approx(next(iter(theirs.values())), rel=1e-8)


def test_clean_fid_gives_the_same_frechet_distance(pair: Pair) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it passes scipy an argument that 1.18 takes away
        from cleanfid.fid import frechet_distance as theirs

        first, second = (_statistics(side) for side in pair)
        found = theirs(first["mu"], first["sigma"], second["mu"], second["sigma"])
    assert _ours(pair) == pytest.approx(found, rel=1e-6)


def test_torchmetrics_gives_the_same_frechet_distance(pair: Pair) -> None:
    tensors = [torch.from_numpy(each) for side in pair for each in _statistics(side).values()]
    assert _ours(pair) == pytest.approx(float(_compute_fid(*tensors)), rel=1e-8)


def test_torchmetrics_gives_the_same_kernel_distance(pair: Pair) -> None:
    first, second = pair[0][:500], pair[1]
    theirs = float(poly_mmd(torch.from_numpy(first), torch.from_numpy(second)))
    assert kernel_distance(first, second).value == pytest.approx(theirs, rel=1e-9)


def test_torch_fidelity_gives_the_same_kernel_distance(pair: Pair) -> None:
    first, second = pair[0][:500], pair[1]
    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1}
    kernels = (kernel_poly(a, b, **options) for a, b in ((first, first), (first, second), (second, second)))
    assert kernel_distance(first, second).value == pytest.approx(float(mmd2(*kernels)), rel=1e-9)


def test_clean_fid_gives_the_same_kernel_distance(pair: Pair) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cleanfid.fid import kernel_distance as theirs
    np.random.seed(0)
    first, second = pair[0][:500], pair[1]
    assert kernel_distance(first, second).value == pytest.approx(
        float(theirs(first, second, num_subsets=1, max_subset_size=500)), rel=1e-9
    )


@pytest.mark.parametrize("k", [3, 5])
def test_prdc_gives_the_same_four_scores(pair: Pair, k: int) -> None:
    theirs = compute_prdc(*pair, nearest_k=k)
    found = precision_recall_density_coverage(*pair, k)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(found, name).value == pytest.approx(float(theirs[name]), rel=1e-12), name
