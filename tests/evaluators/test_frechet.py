"""The Frechet distance against closed forms, its accuracy where covariances are singular, and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imprimatur_evaluators.statistics import frechet
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.frechet import Moments, frechet_distance, frechet_estimate
from imprimatur_evaluators.statistics.intervals import bootstrap, percentile


def _moments(mean: Array, covariance: Array) -> Moments:
    return Moments(2, mean, covariance)


def _rotation(width: int, seed: int = 0) -> Array:
    rotation: Array = np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]
    return rotation


def test_a_set_against_itself_is_at_distance_zero() -> None:
    features = np.random.default_rng(0).normal(size=(300, 20))
    moments = Moments.from_features(features)
    assert frechet_distance(moments, moments) == pytest.approx(0, abs=1e-12)


def test_unit_covariances_one_apart_in_every_direction_are_as_far_as_the_width() -> None:
    unit = np.eye(2048)
    found = frechet_distance(_moments(np.zeros(2048), unit), _moments(np.ones(2048), unit))
    assert found == pytest.approx(2048, rel=1e-12)


def test_the_distance_is_symmetric() -> None:
    rng = np.random.default_rng(0)
    a, b = (Moments.from_features(rng.normal(size=(100, 8)) * scale) for scale in (1.0, 2.0))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)


def test_order_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    features, other = rng.normal(size=(100, 8)), Moments.from_features(rng.normal(size=(90, 8)))
    shuffled = features[rng.permutation(100)]
    expected = frechet_distance(Moments.from_features(features), other)
    assert frechet_distance(Moments.from_features(shuffled), other) == pytest.approx(expected, rel=1e-12)


def test_commuting_covariances_give_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    rotation, a, b, step = _rotation(64), rng.uniform(0.5, 2, 64), rng.uniform(0.5, 2, 64), rng.normal(size=64)
    found = frechet_distance(
        _moments(np.zeros(64), (rotation * a) @ rotation.T), _moments(step, (rotation * b) @ rotation.T)
    )
    assert found == pytest.approx(step @ step + np.square(np.sqrt(a) - np.sqrt(b)).sum(), rel=1e-12)


def test_a_condition_of_1e15_keeps_nine_digits() -> None:
    rotation, values = _rotation(256), np.logspace(0, -15, 256)
    first, second = (rotation * values) @ rotation.T, (rotation * (2 * values)) @ rotation.T
    truth = (np.sqrt(2) - 1) ** 2 * values.sum()
    assert frechet_distance(_moments(np.zeros(256), first), _moments(np.zeros(256), second)) == pytest.approx(
        truth, rel=1e-9
    )


def test_fewer_images_than_features_keep_nine_digits() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(60, 200)), rng.normal(size=(60, 200)) * 1.5 + 0.1
    centred_a, centred_b = a - a.mean(0), b - b.mean(0)
    cross = np.linalg.svd(centred_a @ centred_b.T / 59, compute_uv=False).sum()
    traces = (np.square(centred_a).sum() + np.square(centred_b).sum()) / 59
    truth = np.square(a.mean(0) - b.mean(0)).sum() + traces - 2 * cross
    assert frechet_distance(Moments.from_features(a), Moments.from_features(b)) == pytest.approx(truth, rel=1e-9)


def test_both_paths_agree_where_the_fast_one_is_taken() -> None:
    rng = np.random.default_rng(0)
    a, b = (np.cov(rng.normal(size=(400, 30)).T) for _ in range(2))
    fast = frechet._fast_cross_term(a, b)
    assert fast is not None
    assert fast == pytest.approx(frechet._rank_cut_cross_term(a, b), rel=1e-12)


def test_the_fast_path_declines_a_spectrum_that_it_would_blur() -> None:
    rotation, values = _rotation(256), np.logspace(0, -13, 256)
    covariance = (rotation * values) @ rotation.T
    assert frechet._fast_cross_term(covariance, covariance) is None


@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(1, 79), min_size=1, max_size=5), seed=st.integers(0, 1000))
def test_merging_shards_equals_one_pass(cuts: list[int], seed: int) -> None:
    features = np.random.default_rng(seed).normal(size=(80, 6))
    merged = Moments.empty(6)
    for shard in np.split(features, sorted(set(cuts))):
        merged = merged.update(shard)
    whole = Moments.from_features(features)
    assert merged.n == 80
    np.testing.assert_allclose(merged.mean, whole.mean, atol=1e-12)
    np.testing.assert_allclose(merged.covariance, whole.covariance, atol=1e-12)


def test_merging_keeps_digits_far_from_the_origin() -> None:
    features = np.random.default_rng(0).normal(size=(1000, 3))
    far = Moments.from_features(features[:500] + 1e6).update(features[500:] + 1e6)
    np.testing.assert_allclose(far.covariance, np.cov(features.T), rtol=1e-8, atol=1e-9)


def _shifted(rng: np.random.Generator, n: int = 250, width: int = 16) -> tuple[Array, Array]:
    return rng.normal(size=(n, width)), rng.normal(size=(n, width)) * 1.2 + 0.2


_TRUTH = 16 * (0.2**2 + 0.2**2)


def test_the_interval_covers_the_populations_distance() -> None:
    rng = np.random.default_rng(7)
    intervals = [frechet_estimate(*_shifted(rng), seed=run, replicates=100).interval for run in range(80)]
    assert sum(interval.low <= _TRUTH <= interval.high for interval in intervals) >= 70


def test_the_percentile_bootstrap_would_miss_it() -> None:
    rng = np.random.default_rng(7)
    missed = 0
    for run in range(10):
        real, fake = _shifted(rng)
        spread = bootstrap(
            lambda i, j, real=real, fake=fake: frechet_distance(
                Moments.from_features(real[i]), Moments.from_features(fake[j])
            ),
            [len(real), len(fake)],
            replicates=100,
            seed=run,
        )
        missed += not percentile(spread).low <= _TRUTH <= percentile(spread).high
    assert missed >= 9


def test_the_value_is_corrected_for_the_bias_of_the_formula() -> None:
    rng = np.random.default_rng(1)
    found = [frechet_estimate(*_shifted(rng), seed=run, replicates=100) for run in range(20)]
    corrected, plain = np.mean([one.value for one in found]), np.mean([one.plug_in for one in found])
    assert abs(corrected - _TRUTH) < abs(plain - _TRUTH) / 4


def test_the_same_seed_gives_the_same_interval() -> None:
    real, fake = _shifted(np.random.default_rng(0))
    first = frechet_estimate(real, fake, seed=3, replicates=50)
    assert first == frechet_estimate(real, fake, seed=3, replicates=50)
    assert first != frechet_estimate(real, fake, seed=4, replicates=50)
