"""Every interval of the quality metrics covers its stated estimand between 92% and 98% of the time.

Cases are simulated with a fixed seed at the suites' sizes. The expectation of coverage has no closed form: it is the
mean over many further simulated sets.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from imprimatur_evaluators.statistics import (
    Moments,
    frechet_distance,
    frechet_distance_infinity,
    frechet_estimate,
    kernel_distance,
    precision_recall_density_coverage,
)
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.intervals import Estimate, basic, bootstrap, percentile
from imprimatur_evaluators.statistics.kernel import gaussian
from long_forms import Count
from simulation import LEAST, MOST, coverage

Pair = tuple[Array, Array]
Draw = Callable[[np.random.Generator], Pair]


def _normal(n: int, width: int, scale: float, shift: float) -> Draw:
    return lambda rng: (rng.normal(size=(n, width)), rng.normal(size=(n, width)) * scale + shift)


def _on_a_sphere(n: int, width: int, shift: float) -> Draw:
    """Skewed features of unit length, as a CLIP's are."""

    def unit(rows: Array) -> Array:
        length: Array = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / length

    return lambda rng: (
        unit(rng.exponential(size=(n, width))),
        unit(rng.exponential(size=(n, width)) + shift * np.arange(width) / width),
    )


def _estimates(draw: Draw, cases: int, measure: Callable[[Pair, int], Estimate]) -> list[Estimate]:
    rng = np.random.default_rng(7)
    return [measure(draw(rng), case) for case in range(cases)]


def _check(estimates: list[Estimate], truth: float) -> None:
    found = coverage([one.interval for one in estimates], truth)
    assert LEAST <= found <= MOST, f"covers {found:.3f} of {len(estimates)} cases"


FRECHET = [
    pytest.param(_normal(500, 16, 1.2, 0.2), 16 * (0.2**2 + 0.2**2), id="shifted and scaled, d=16"),
    pytest.param(_normal(600, 32, 1.2, 0.1), 32 * (0.2**2 + 0.1**2), id="a little shifted and scaled, d=32"),
    pytest.param(_normal(1000, 64, 1.3, 0.0), 64 * 0.3**2, id="scaled, d=64"),
    pytest.param(_normal(150, 32, 1.3, 0.3), 32 * (0.3**2 + 0.3**2), id="few images, d=32"),
]


@pytest.mark.long_form
@pytest.mark.parametrize(("draw", "truth"), FRECHET)
def test_the_frechet_interval_covers_the_populations_distance(draw: Draw, truth: float, count: Count) -> None:
    _check(_estimates(draw, count(200, 1000), lambda pair, case: frechet_estimate(*pair, seed=case)), truth)


@pytest.mark.long_form
@pytest.mark.parametrize(("draw", "truth"), FRECHET[:2])
def test_the_extrapolated_interval_covers_the_populations_distance(draw: Draw, truth: float, count: Count) -> None:
    _check(_estimates(draw, count(200, 1000), lambda pair, case: frechet_distance_infinity(*pair, seed=case)), truth)


@pytest.mark.long_form
def test_the_frechet_interval_covers_for_skewed_features_of_unit_length(count: Count) -> None:
    draw = _on_a_sphere(500, 16, 1.0)
    real, fake = _on_a_sphere(400_000, 16, 1.0)(np.random.default_rng(1))
    truth = frechet_distance(Moments.from_features(real), Moments.from_features(fake))
    _check(_estimates(draw, count(200, 1000), lambda pair, case: frechet_estimate(*pair, seed=case)), truth)


def test_between_equal_populations_the_frechet_interval_holds_zero() -> None:
    found = _estimates(_normal(400, 32, 1.0, 0.0), 100, lambda pair, case: frechet_estimate(*pair, seed=case))
    assert coverage([one.interval for one in found], 0.0) >= LEAST


def test_the_value_is_corrected_for_the_bias_of_the_formula() -> None:
    draw, truth = _normal(250, 16, 1.2, 0.2), 16 * (0.2**2 + 0.2**2)
    found = _estimates(draw, 60, lambda pair, case: frechet_estimate(*pair, seed=case))
    corrected, plain = np.mean([one.value for one in found]), np.mean([one.plug_in for one in found])
    assert abs(corrected - truth) < abs(plain - truth) / 10


def test_the_same_seed_gives_the_same_interval() -> None:
    pair = _normal(250, 16, 1.2, 0.2)(np.random.default_rng(0))
    assert frechet_estimate(*pair, seed=3) == frechet_estimate(*pair, seed=3) != frechet_estimate(*pair, seed=4)


def _resampled(pair: Pair, seed: int) -> Array:
    real, fake = pair

    def again(rows: np.ndarray, columns: np.ndarray) -> float:
        return frechet_distance(Moments.from_features(real[rows]), Moments.from_features(fake[columns]))

    return bootstrap(again, [len(real), len(fake)], replicates=100, seed=seed)


def _plug_in(pair: Pair) -> float:
    return frechet_distance(*(Moments.from_features(side) for side in pair))


@pytest.mark.long_form
def test_the_basic_bootstrap_covers_the_frechet_distance_and_the_percentile_bootstrap_never(count: Count) -> None:
    rng, truth = np.random.default_rng(7), 16 * (0.2**2 + 0.2**2)
    pairs = [_normal(500, 16, 1.2, 0.2)(rng) for _ in range(count(200, 1000))]
    spreads = [_resampled(pair, case) for case, pair in enumerate(pairs)]
    mirrored = [basic(_plug_in(pair), spread) for pair, spread in zip(pairs, spreads, strict=True)]
    assert LEAST <= coverage(mirrored, truth) <= MOST
    assert coverage([percentile(spread) for spread in spreads], truth) < 0.05


def _polynomial_truth(width: int, scale: float, shift: float) -> float:
    """The kernel distance of N(0, I) and N(shift, scale^2 I) for (x.y/d + 1)^3, from the moments of x.y."""

    def mean(s: float, t: float, m: float, o: float) -> float:
        """E (x.y/d + 1)^3 for x of deviation s and mean m, y of deviation t and mean o, in every direction."""
        first = width * m * o
        spread = width * (s * s * t * t + s * s * o * o + t * t * m * m)
        third = width * 6 * s * s * t * t * m * o
        powers = 1.0, first, spread + first**2, third + 3 * first * spread + first**3
        factors = (1, 3 / width, 3 / width**2, 1 / width**3)
        return float(np.dot(factors, powers))

    return mean(1, 1, 0, 0) + mean(scale, scale, shift, shift) - 2 * mean(1, scale, 0, shift)


@pytest.mark.long_form
@pytest.mark.parametrize(
    ("scale", "shift"),
    [
        pytest.param(1.0, 0.0, id="equal"),
        pytest.param(1.0, 0.05, id="nearly equal"),
        pytest.param(1.1, 0.0, id="scaled"),
        pytest.param(1.2, 0.3, id="shifted and scaled"),
    ],
)
def test_the_kernel_interval_covers_the_populations_distance(scale: float, shift: float, count: Count) -> None:
    draw = _normal(400, 16, scale, shift)
    found = _estimates(draw, count(200, 1000), lambda pair, _: kernel_distance(*pair))
    _check(found, _polynomial_truth(16, scale, shift))


def _gaussian_truth(width: int, sigma: float, shift: float) -> float:
    """The kernel distance of N(0, I) and N(shift, I) for a Gaussian kernel."""
    spread = sigma**2 + 2
    return float(2 * (sigma**2 / spread) ** (width / 2) * (1 - np.exp(-width * shift**2 / (2 * spread))))


@pytest.mark.long_form
@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_the_gaussian_kernels_interval_covers_the_populations_distance(shift: float, count: Count) -> None:
    draw, kernel = _normal(400, 16, 1.0, shift), gaussian(4.0)
    found = _estimates(draw, count(200, 1000), lambda pair, _: kernel_distance(*pair, kernel=kernel))
    _check(found, _gaussian_truth(16, 4.0, shift))


GENERATORS = [
    pytest.param(lambda rng, n: rng.normal(size=(n, 16)), id="equal"),
    pytest.param(lambda rng, n: rng.normal(size=(n, 16)) + 0.3, id="shifted"),
    pytest.param(lambda rng, n: 0.9 * rng.normal(size=(n, 16)) + 0.2, id="narrow"),
]


@pytest.mark.long_form
@pytest.mark.parametrize("generate", GENERATORS)
def test_the_intervals_of_neighbourhoods_cover_their_expectation(
    generate: Callable[[np.random.Generator, int], Array], count: Count
) -> None:
    rng = np.random.default_rng(7)
    real, k = rng.normal(size=(500, 16)), 5
    found = [
        precision_recall_density_coverage(real, generate(rng, 400), k, seed=case) for case in range(count(200, 1000))
    ]
    many = precision_recall_density_coverage(real, generate(rng, 20_000), k)
    _check([one.precision for one in found], many.precision.value)
    _check([one.density for one in found], many.density.value)
    expectation = np.mean([one.coverage.value for one in found])
    further = np.mean([_covered(real, generate(rng, 400), k) for _ in range(400)])
    _check([one.coverage for one in found], float((expectation + further) / 2))


def _covered(real: Array, fake: Array, k: int) -> float:
    among = np.square(real).sum(1)[:, None] + np.square(real).sum(1)[None] - 2 * real @ real.T
    radius = np.partition(among, k, axis=1)[:, k]
    between = np.square(real).sum(1)[:, None] + np.square(fake).sum(1)[None] - 2 * real @ fake.T
    return float((between < radius[:, None]).any(axis=1).mean())


@pytest.mark.long_form
def test_the_interval_of_recall_covers_the_share_of_real_images_within_reach(count: Count) -> None:
    rng = np.random.default_rng(7)
    fake = 0.8 * rng.normal(size=(500, 16))
    found = [
        precision_recall_density_coverage(rng.normal(size=(400, 16)), fake, 3).recall for _ in range(count(200, 1000))
    ]
    _check(found, precision_recall_density_coverage(rng.normal(size=(20_000, 16)), fake, 3).recall.value)


def test_resampling_with_replacement_would_break_coverage_and_density() -> None:
    rng = np.random.default_rng(7)
    real, fake = rng.normal(size=(500, 16)), rng.normal(size=(500, 16))
    found = precision_recall_density_coverage(real, fake)
    again = [
        precision_recall_density_coverage(real[rng.integers(500, size=500)], fake[rng.integers(500, size=500)])
        for _ in range(20)
    ]
    assert max(one.coverage.value for one in again) < found.coverage.interval.low
    assert np.mean([one.density.value for one in again]) < 0.95 * found.density.value
