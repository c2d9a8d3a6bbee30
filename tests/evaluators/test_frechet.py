"""The Frechet distance against closed forms, and its accuracy where covariances are singular."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imprimatur_evaluators.statistics import Moments, Reference, frechet, frechet_distance
from imprimatur_evaluators.statistics.arrays import Array


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
    width = 1024
    rotation, values = _rotation(width), np.logspace(0, -15, width)
    first, second = (rotation * values) @ rotation.T, (rotation * (2 * values)) @ rotation.T
    truth = (np.sqrt(2) - 1) ** 2 * values.sum()
    found = frechet_distance(_moments(np.zeros(width), first), _moments(np.zeros(width), second))
    assert found == pytest.approx(truth, rel=1e-9, abs=0)


def test_covariances_of_rank_500_keep_nine_digits() -> None:
    rotation, rng = _rotation(1024), np.random.default_rng(0)
    a, b = np.zeros(1024), np.zeros(1024)
    a[:500], b[250:750] = rng.uniform(0.1, 2, 500), rng.uniform(0.1, 2, 500)
    found = frechet_distance(
        _moments(np.zeros(1024), (rotation * a) @ rotation.T), _moments(np.zeros(1024), (rotation * b) @ rotation.T)
    )
    assert found == pytest.approx(np.square(np.sqrt(a) - np.sqrt(b)).sum(), rel=1e-9, abs=0)


def test_fewer_images_than_features_keep_nine_digits() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 600)), rng.normal(size=(200, 600)) * 1.5 + 0.1
    centred_a, centred_b = a - a.mean(0), b - b.mean(0)
    cross = np.linalg.svd(centred_a @ centred_b.T / 199, compute_uv=False).sum()
    traces = (np.square(centred_a).sum() + np.square(centred_b).sum()) / 199
    truth = np.square(a.mean(0) - b.mean(0)).sum() + traces - 2 * cross
    assert frechet_distance(Moments.from_features(a), Moments.from_features(b)) == pytest.approx(truth, rel=1e-9)


def test_both_paths_agree_where_the_fast_one_is_taken() -> None:
    rng = np.random.default_rng(0)
    a, b = (np.cov(rng.normal(size=(400, 30)).T) for _ in range(2))
    first, second = (Moments(2, np.zeros(30), covariance) for covariance in (a, b))
    factor = Reference.of(first).factor
    assert factor is not None
    fast = frechet._fast_cross_term(factor, second, frechet.FAST_PATH_ERROR * (first.trace + second.trace))
    assert fast is not None
    assert fast == pytest.approx(frechet._rank_cut_cross_term(a, b), rel=1e-12)


def test_the_fast_path_declines_a_spectrum_that_it_would_blur() -> None:
    rotation, values = _rotation(256), np.logspace(0, -13, 256)
    covariance = (rotation * values) @ rotation.T
    moments = Moments(2, np.zeros(256), covariance)
    factor = Reference.of(moments).factor
    assert factor is not None
    assert frechet._fast_cross_term(factor, moments, frechet.FAST_PATH_ERROR * 2 * moments.trace) is None


def test_a_wide_distance_writes_over_nothing_that_is_its_callers() -> None:
    rng = np.random.default_rng(0)
    a, b = (Moments.from_features(rng.normal(size=(1200, 600))) for _ in range(2))
    kept = a.scatter.copy(), b.scatter.copy()
    reference = Reference.of(a)
    first = frechet_distance(reference, b)
    assert (first, first) == (frechet_distance(reference, b), frechet_distance(a, b))
    assert np.array_equal(kept[0], a.scatter)
    assert np.array_equal(kept[1], b.scatter)


def test_a_stored_reference_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    real, fake = (Moments.from_features(rng.normal(size=(n, 30))) for n in (400, 20))
    for a, b in ((real, fake), (fake, real)):
        assert frechet_distance(Reference.of(a), b) == frechet_distance(a, b)


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


@settings(deadline=None, max_examples=30)
@given(cut=st.integers(1, 79), seed=st.integers(0, 1000))
def test_taking_a_part_away_undoes_merging(cut: int, seed: int) -> None:
    features = np.random.default_rng(seed).normal(size=(80, 6)) + 1e3
    part, rest = Moments.from_features(features[:cut]), Moments.from_features(features[cut:])
    found = Moments.from_features(features).without(part)
    assert found.n == rest.n
    np.testing.assert_allclose(found.mean, rest.mean, rtol=1e-11)
    np.testing.assert_allclose(found.scatter, rest.scatter, atol=1e-7)


def test_tensors_are_taken_like_arrays() -> None:
    torch = pytest.importorskip("torch")
    features = np.random.default_rng(0).normal(size=(20, 3))
    np.testing.assert_array_equal(
        Moments.from_features(torch.from_numpy(features)).scatter, Moments.from_features(features).scatter
    )
