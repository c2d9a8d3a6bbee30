"""The statistics alone: the same moments or features into ours and into a peer's."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from imprimatur_evaluators.bench.duel import Duel
from imprimatur_evaluators.statistics import Moments, Reference, frechet_distance, kernel_distance
from imprimatur_evaluators.statistics.arrays import Array

_SAMPLES = 5_000
_KERNEL_SAMPLES = 2_000


def duels(width: int) -> list[Duel]:
    """The work that is compared, on features of ``width`` numbers drawn with a fixed seed."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((_SAMPLES, width))
    b = rng.standard_normal((_SAMPLES, width)) * np.linspace(0.5, 1.5, width) + 0.1
    first, second = Moments.from_features(a), Moments.from_features(b)
    stored = Reference.of(first)
    work = f"Frechet distance from moments, d={width}"
    few = a[:_KERNEL_SAMPLES], b[:_KERNEL_SAMPLES]
    torchmetrics = f"torchmetrics {version('torchmetrics')}"
    return [
        Duel(
            work,
            torchmetrics,
            lambda: frechet_distance(first, second),
            lambda: _torchmetrics_frechet(first, second),
        ),
        Duel(
            f"{work}, the reference's factor stored",
            torchmetrics,
            lambda: frechet_distance(stored, second),
            lambda: _torchmetrics_frechet(first, second),
        ),
        Duel(
            work,
            f"scipy {version('scipy')} sqrtm",
            lambda: frechet_distance(first, second),
            lambda: _scipy_frechet(first, second),
        ),
        Duel(
            f"Kernel distance with its interval, n={_KERNEL_SAMPLES}, d={width}, against the distance alone",
            torchmetrics,
            lambda: kernel_distance(*few).value,
            lambda: _torchmetrics_kernel(*few),
        ),
    ]


def _torchmetrics_frechet(first: Moments, second: Moments) -> float:
    import torch
    from torchmetrics.image.fid import _compute_fid

    tensors = [torch.from_numpy(array) for m in (first, second) for array in (m.mean, m.covariance)]
    return float(_compute_fid(*tensors))


def _scipy_frechet(first: Moments, second: Moments) -> float:
    from scipy.linalg import sqrtm

    root = np.real(sqrtm(first.covariance @ second.covariance))
    shift = first.mean - second.mean
    return float(shift @ shift + np.trace(first.covariance) + np.trace(second.covariance) - 2 * np.trace(root))


def _torchmetrics_kernel(x: Array, y: Array) -> float:
    import torch
    from torchmetrics.image.kid import poly_mmd

    return float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y)))
