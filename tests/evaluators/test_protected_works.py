"""The persistent index of protected works: exact, verified to the byte, replaced in one step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imprimatur_evaluators.backbones.model import View
from imprimatur_evaluators.errors import BadIndex, BadRequest, EvaluatorError, TooFew
from imprimatur_evaluators.images import Pixels
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.background import Background
from imprimatur_evaluators.statistics.neighbours import Neighbours, flat_index, nearest_works
from imprimatur_evaluators.works import Approximate, ProtectedIndex, Work


@dataclass(frozen=True)
class _Backbone:
    """What an index keeps of a backbone."""

    width: int = 16
    name: str = "net"
    weights_digest: str = "sha256:weights"
    identity: str = "sha256:identity"
    protocol: str = "as it is"
    view: View | None = None

    def features(self, pixels: Sequence[Pixels]) -> Array:
        features: Array = np.ones((len(pixels), self.width)) / np.sqrt(self.width)
        return features


def _unit(rng: np.random.Generator, n: int, width: int = 16) -> Array:
    rows = rng.normal(size=(n, width))
    unit: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _works(n: int, first: int = 0) -> list[Work]:
    return [
        Work(f"w{row}", f"Swan {row}", "Estate of Odile Renard", "All rights reserved", "a test", f"sha256:{row}")
        for row in range(first, first + n)
    ]


def _brute_force(images: Array, works: Array, k: int) -> Neighbours:
    cosines = np.array([[float((image * work).sum()) for work in works.astype(np.float64)] for image in images])
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return Neighbours(order, np.take_along_axis(cosines, order, axis=1))


@st.composite
def _collections(draw: st.DrawFn) -> tuple[Array, Array, int]:
    """Images and works with ties, copies and near copies among them, and how many neighbours to find."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width, different = draw(st.integers(2, 40)), draw(st.integers(1, 30))
    base = _unit(rng, different, width)
    works = base[rng.integers(different, size=draw(st.integers(1, 60)))]
    works = works + rng.normal(size=works.shape) * draw(st.sampled_from([0.0, 1e-12, 1e-8, 1e-3]))
    works /= np.linalg.norm(works, axis=1, keepdims=True)
    images = np.concatenate([works[:3], _unit(rng, 3, width)])
    return images, works, draw(st.integers(1, min(len(works), 12)))


@given(_collections())
@settings(max_examples=150, deadline=None)
def test_neighbours_equal_comparing_everything_with_everything(case: tuple[Array, Array, int]) -> None:
    images, works, k = case
    found, truth = nearest_works(flat_index(works), images, works, k), _brute_force(images, works, k)
    assert found.work.tolist() == truth.work.tolist()
    assert found.similarity.tolist() == truth.similarity.tolist()


@given(_collections())
@settings(max_examples=50, deadline=None)
def test_neighbours_do_not_depend_on_the_batch(case: tuple[Array, Array, int]) -> None:
    images, works, k = case
    index = flat_index(works)
    together = nearest_works(index, images, works, k)
    alone = [nearest_works(index, image[None], works, k) for image in images]
    assert together.similarity.tolist() == [one.similarity[0].tolist() for one in alone]
    assert together.work.tolist() == [one.work[0].tolist() for one in alone]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_index_opens_as_it_was_built(tmp_path: Path, dtype: Literal["float64", "float32"]) -> None:
    rng = np.random.default_rng(0)
    features, images = _unit(rng, 200), _unit(rng, 30)
    built = ProtectedIndex.build(tmp_path, features, _works(200), _Backbone(), dtype=dtype)
    opened = ProtectedIndex.open(tmp_path, _Backbone(), digest=built.digest)
    truth = _brute_force(images, features.astype(dtype), 3)
    for index in (built, opened):
        found = index.nearest(images, 3)
        assert found.work.tolist() == truth.work.tolist()
        assert found.similarity.tolist() == truth.similarity.tolist()
    assert opened.works == tuple(_works(200))


def test_the_same_works_make_the_same_bytes(tmp_path: Path) -> None:
    features = _unit(np.random.default_rng(0), 20)
    first = ProtectedIndex.build(tmp_path / "a", features, _works(20), _Backbone())
    second = ProtectedIndex.build(tmp_path / "b", features, _works(20), _Backbone())
    assert first.digest == second.digest


def test_every_flipped_byte_in_any_file_is_found_and_the_file_named(tmp_path: Path) -> None:
    ProtectedIndex.build(tmp_path, _unit(np.random.default_rng(0), 3, 4), _works(3), _Backbone(4))
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        for position in range(len(whole)):
            changed = bytearray(whole)
            changed[position] ^= 1 << (position % 8)
            path.write_bytes(changed)
            with pytest.raises(BadIndex, match=path.name) as caught:
                ProtectedIndex.open(tmp_path, _Backbone(4))
            assert caught.value.code == "index-damaged"
        path.write_bytes(whole)
    assert len(ProtectedIndex.open(tmp_path, _Backbone(4)).works) == 3


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b"null", b'{"digest":"x"}', b"\xff"])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, damage: bytes) -> None:
    ProtectedIndex.build(tmp_path, _unit(np.random.default_rng(0), 3), _works(3), _Backbone())
    (tmp_path / "manifest.json").write_bytes(damage)
    with pytest.raises(BadIndex, match=r"manifest\.json") as caught:
        ProtectedIndex.open(tmp_path, _Backbone())
    assert caught.value.code == "index-damaged"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadIndex) as caught:
        ProtectedIndex.open(tmp_path, _Backbone())
    assert caught.value.code == "index-missing"
    ProtectedIndex.build(tmp_path, _unit(np.random.default_rng(0), 3), _works(3), _Backbone())
    (features,) = tmp_path.glob("features-*")
    features.unlink()
    with pytest.raises(BadIndex, match=features.name) as caught:
        ProtectedIndex.open(tmp_path, _Backbone())
    assert caught.value.code == "index-missing"


@pytest.mark.parametrize(
    "other",
    [
        _Backbone(name="other"),
        _Backbone(identity="sha256:other"),
        _Backbone(protocol="resized"),
        _Backbone(weights_digest="sha256:other"),
    ],
)
def test_another_backbone_is_refused(tmp_path: Path, other: _Backbone) -> None:
    index = ProtectedIndex.build(tmp_path, _unit(np.random.default_rng(0), 3), _works(3), _Backbone())
    with pytest.raises(BadIndex) as caught:
        ProtectedIndex.open(tmp_path, other)
    assert caught.value.code == "index-other-backbone"
    with pytest.raises(BadIndex) as caught:
        index.add(_unit(np.random.default_rng(1), 1), _works(1, 3), other)
    assert caught.value.code == "index-other-backbone"


def test_another_index_than_the_one_asked_for_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first = ProtectedIndex.build(tmp_path, _unit(rng, 3), _works(3), _Backbone())
    ProtectedIndex.build(tmp_path, _unit(rng, 3), _works(3), _Backbone())
    with pytest.raises(BadIndex) as caught:
        ProtectedIndex.open(tmp_path, _Backbone(), digest=first.digest)
    assert caught.value.code == "index-changed"


def test_counts_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    """Every digest fits, and still the manifest says something else than the files hold."""
    from imprimatur_evaluators import works

    features = _unit(np.random.default_rng(0), 3)
    ProtectedIndex.build(tmp_path, features, _works(3), _Backbone())
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    del manifest["digest"]
    manifest["count"] = 2
    (tmp_path / "manifest.json").write_bytes(works._canonical({**manifest, "digest": works._digest(manifest)}))
    with pytest.raises(BadIndex) as caught:
        ProtectedIndex.open(tmp_path, _Backbone())
    assert caught.value.code == "index-miscounted"


def test_added_works_come_after_those_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = _unit(rng, 30)
    whole = ProtectedIndex.build(tmp_path / "whole", features, _works(30), _Backbone())
    grown = ProtectedIndex.build(tmp_path / "grown", features[:20], _works(20), _Backbone())
    grown.add(features[20:], _works(10, 20), _Backbone())
    assert ProtectedIndex.open(tmp_path / "grown", _Backbone()).digest == whole.digest


def test_a_rebuilt_index_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ProtectedIndex.build(tmp_path, _unit(rng, 5), _works(5), _Backbone())
    before = {path.name for path in tmp_path.iterdir()}
    ProtectedIndex.build(tmp_path, _unit(rng, 6), _works(6), _Backbone())
    after = {path.name for path in tmp_path.iterdir()}
    assert before & after == {"manifest.json"}
    assert len(after) == 4


def test_an_index_whose_rebuilding_stopped_halfway_is_the_one_before(tmp_path: Path) -> None:
    """All that a rebuilding does before its last step is to put further files beside the old ones."""
    rng = np.random.default_rng(0)
    before = ProtectedIndex.build(tmp_path / "home", _unit(rng, 5), _works(5), _Backbone())
    ProtectedIndex.build(tmp_path / "next", _unit(rng, 6), _works(6), _Backbone())
    for path in (tmp_path / "next").iterdir():
        if path.name != "manifest.json":
            path.rename(tmp_path / "home" / path.name)
    assert ProtectedIndex.open(tmp_path / "home", _Backbone()).digest == before.digest


def test_what_makes_no_index_is_refused(tmp_path: Path) -> None:
    features = _unit(np.random.default_rng(0), 3)
    twice = [*_works(2), _works(1)[0]]
    refused: list[tuple[Array, list[Work], type[EvaluatorError], str]] = [
        (features * 2, _works(3), BadRequest, "not-unit-length"),
        (features * np.nan, _works(3), BadRequest, "not-unit-length"),
        (features[0], _works(3), BadRequest, "bad-features"),
        (features, _works(2), BadRequest, "works-do-not-fit"),
        (_unit(np.random.default_rng(0), 3, 8), _works(3), BadRequest, "works-do-not-fit"),
        (features, twice, BadRequest, "work-twice"),
        (features[:0], [], TooFew, "too-few-images"),
    ]
    for rows, works, kind, code in refused:
        with pytest.raises(kind) as caught:
            ProtectedIndex.build(tmp_path, rows, works, _Backbone())
        assert caught.value.code == code
    assert not list(tmp_path.iterdir())


def test_a_search_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    features = _unit(np.random.default_rng(0), 3)
    index = ProtectedIndex.build(tmp_path, features, _works(3), _Backbone())
    for k in (0, 4):
        with pytest.raises(BadRequest, match="expected 1 to 3"):
            index.nearest(features, k)
    with pytest.raises(BadRequest, match="expected 16"):
        index.nearest(_unit(np.random.default_rng(0), 2, 8))


def test_an_approximate_index_states_the_recall_that_it_has(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = _unit(rng, 2000)
    queries = features[:300] + 0.1 * rng.normal(size=(300, 16))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    index = ProtectedIndex.build(tmp_path, features, _works(2000), _Backbone(), approximate=Approximate(32, 2, queries))
    recall = ProtectedIndex.open(tmp_path, _Backbone()).manifest["search"]["recall"]
    found = index.nearest(queries).work[:, 0] == (queries @ features.T).argmax(axis=1)
    assert recall["value"] == pytest.approx(found.mean())
    assert 0.5 < recall["low"] < recall["value"] < 1
    assert not index.exact
    with pytest.raises(BadRequest) as caught:
        index.add(features[:1], _works(1, 2000), _Backbone())
    assert caught.value.code == "approximate-index"


def test_a_hit_names_both_images_the_owner_and_the_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = _unit(rng, 10)
    index = ProtectedIndex.build(tmp_path, features, _works(10), _Backbone())
    background = Background.of(index.nearest(_unit(rng, 199)).similarity[:, 0])
    images = np.concatenate([_unit(rng, 1), features[7:8]])
    hits = index.hits(["innocent.png", "copy.png"], index.nearest(images), background, background.threshold(0.01))
    (hit,) = (one for one in hits if one.image == "copy.png")
    assert (hit.work, hit.p_value, hit.share_at_least) == (_works(10)[7], 1 / 200, 0.0)
    assert hit.similarity == pytest.approx(1)
    assert hit.threshold < hit.similarity
    assert json.loads(json.dumps(hit.document()))["work"]["owner"] == "Estate of Odile Renard"
    assert [one.similarity for one in hits] == sorted((one.similarity for one in hits), reverse=True)
