"""Image quality: how far generated images are from real ones, and how well they fill their neighbourhoods."""

from __future__ import annotations

from collections.abc import Mapping

from imprimatur_evaluators.errors import require_count
from imprimatur_evaluators.protocols import FEWEST
from imprimatur_evaluators.scoring.model import Compute, Inputs
from imprimatur_evaluators.spec import Need
from imprimatur_evaluators.statistics import cmmd, kernel_distance
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.frechet_estimates import (
    frechet_distance_infinity,
    frechet_estimate,
    frechet_infinity_needs,
    frechet_needs,
)
from imprimatur_evaluators.statistics.intervals import Estimate
from imprimatur_evaluators.statistics.manifold import Neighbourhoods, neighbourhoods

_PUBLISHED_K = frozenset({3, 5})
"""The numbers of neighbours that are published; they are worked out together."""


def _reference(inputs: Inputs, needed: int) -> Array:
    """The reference's features, once sample and reference are large enough."""
    real = inputs.real(Need.REFERENCE)
    inputs.require(needed)
    require_count(f"the reference of {inputs.measure.name}", len(real), needed)
    return real


def _frechet(inputs: Inputs) -> Estimate:
    real = _reference(inputs, frechet_needs(inputs.backbone.width))
    return frechet_estimate(real, inputs.sample.features, seed=inputs.seed)


def _frechet_infinity(inputs: Inputs) -> Estimate:
    real = _reference(inputs, frechet_infinity_needs(inputs.backbone.width))
    return frechet_distance_infinity(real, inputs.sample.features, seed=inputs.seed)


def _kernel(inputs: Inputs) -> Estimate:
    return kernel_distance(_reference(inputs, FEWEST), inputs.sample.features)


def _kernel_rbf(inputs: Inputs) -> Estimate:
    return cmmd(_reference(inputs, FEWEST), inputs.sample.features, float(inputs.option("sigma")))


def _neighbourhoods(inputs: Inputs) -> Neighbourhoods:
    """One comparison of both sets, however many of its scores are asked for."""
    k = int(inputs.option("k"))
    real = _reference(inputs, max(FEWEST, k + 1))
    ks = _PUBLISHED_K if k in _PUBLISHED_K else frozenset({k})
    found: Mapping[int, Neighbourhoods] = inputs.once(
        ("neighbourhoods", ks), lambda: neighbourhoods(real, inputs.sample.features, sorted(ks), seed=inputs.seed)
    )
    return found[k]


METRICS: Mapping[str, Compute] = {
    "frechet": _frechet,
    "frechet-infinity": _frechet_infinity,
    "kernel": _kernel,
    "kernel-rbf": _kernel_rbf,
    "precision": lambda inputs: _neighbourhoods(inputs).precision,
    "recall": lambda inputs: _neighbourhoods(inputs).recall,
    "density": lambda inputs: _neighbourhoods(inputs).density,
    "coverage": lambda inputs: _neighbourhoods(inputs).coverage,
}
