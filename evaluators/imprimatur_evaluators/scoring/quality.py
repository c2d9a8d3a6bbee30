"""Image quality: how far generated images are from real ones, and how well they fill their neighbourhoods."""

from __future__ import annotations

from collections.abc import Mapping

from imprimatur_evaluators.errors import require_count
from imprimatur_evaluators.protocols import FEWEST
from imprimatur_evaluators.scoring.model import Compute, Inputs
from imprimatur_evaluators.spec import Need
from imprimatur_evaluators.statistics import frechet, kernel, manifold
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.intervals import Estimate


def _reference(inputs: Inputs, needed: int) -> Array:
    """The reference's features, once sample and reference are large enough."""
    real = inputs.real(Need.REFERENCE)
    inputs.require(needed)
    require_count(f"the reference of {inputs.measure.name}", len(real), needed)
    return real


def _frechet(inputs: Inputs) -> Estimate:
    real = _reference(inputs, frechet.frechet_needs(inputs.backbone.width))
    return frechet.frechet_estimate(real, inputs.sample.features, seed=inputs.seed)


def _kernel(inputs: Inputs) -> Estimate:
    return kernel.kernel_distance(_reference(inputs, FEWEST), inputs.sample.features)


def _manifold(inputs: Inputs) -> manifold.DensityCoverage:
    """One comparison for one k, however many of its scores are asked for."""
    k = int(inputs.option("k"))
    real = _reference(inputs, max(FEWEST, k + 1))
    found: manifold.DensityCoverage = inputs.once(
        ("manifold", k), lambda: manifold.density_coverage(real, inputs.sample.features, k)
    )
    return found


METRICS: Mapping[str, Compute] = {
    "frechet": _frechet,
    "kernel": _kernel,
    "density": lambda inputs: _manifold(inputs).density,
    "coverage": lambda inputs: _manifold(inputs).coverage,
}
