"""A persistent index of protected works: features, FAISS's index, and whose each work is.

A folder holds three files named by what they are and their digest, and ``manifest.json``, which names them, the
backbone that the features come from, and the search. The manifest is written last, so a folder holds the old index or
the new one and never half of each. Everything is verified when it is opened: a changed byte anywhere is refused and the
file is named. The digests tell damage and mix-ups, not forgery by who may write to the folder; whoever must tell that
passes the manifest's digest, which evidence should carry, to ``open``.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np

from imprimatur_evaluators.backbones.model import Backbone
from imprimatur_evaluators.errors import BadIndex, BadRequest, require_count
from imprimatur_evaluators.statistics.arrays import Array, as_array
from imprimatur_evaluators.statistics.background import Background
from imprimatur_evaluators.statistics.intervals import binomial_share
from imprimatur_evaluators.statistics.neighbours import (
    Neighbours,
    Works,
    check_unit,
    flat_index,
    index_bytes,
    index_from_bytes,
    inverted_index,
    nearest_works,
)
from imprimatur_evaluators.statistics.similarity import Threshold

_MANIFEST = "manifest.json"
_FORMAT = "imprimatur-protected-works-1"
_TYPES: dict[str, Any] = {"float64": np.dtype("<f8"), "float32": np.dtype("<f4")}


@dataclass(frozen=True)
class Work:
    """A protected work: what it is, whose, under which licence, where it came from, and the digest of its image."""

    id: str
    title: str
    owner: str
    licence: str
    source: str
    image_digest: str


@dataclass(frozen=True, eq=False)
class Approximate:
    """A search for large collections that looks into ``probes`` of ``lists`` cells and can miss works.

    ``queries`` [q, d], images like those that will be searched for, measure its recall when the index is built.
    """

    lists: int
    probes: int
    queries: Array


@dataclass(frozen=True)
class Hit:
    """Evidence: a generated image, by digest or name, the work it resembles, and the numbers that say how much.

    ``p_value`` is conformal, against held-out real images; ``share_at_least`` is the share of these as similar.
    """

    image: str
    work: Work
    similarity: float
    threshold: float
    false_positive_rate: float
    p_value: float
    share_at_least: float

    def document(self) -> dict[str, Any]:
        """The evidence as JSON."""
        return asdict(self)


class ProtectedIndex:
    """The index under ``root``, verified; ``build`` makes it and ``open`` finds it."""

    def __init__(self, root: Path, manifest: Mapping[str, Any], features: Works, works: tuple[Work, ...], index: Any):
        self.root = root
        self.manifest = manifest
        self.features = features
        self.works = works
        self._index = index

    @classmethod
    def build(
        cls,
        root: Path,
        features: Any,
        works: Sequence[Work],
        backbone: Backbone,
        *,
        dtype: Literal["float64", "float32"] = "float64",
        approximate: Approximate | None = None,
    ) -> ProtectedIndex:
        """The index of ``features`` [p, width] of unit length, one for each work; what lay under ``root`` is replaced.

        Exact by default. Raises BadRequest 'bad-features', 'not-unit-length', 'works-do-not-fit', 'work-twice' and
        TooFew.
        """
        rows = np.ascontiguousarray(as_array(features), dtype=_TYPES[dtype])
        _check(rows, works, backbone)
        index = flat_index(rows) if approximate is None else _inverted(rows, approximate)
        search = {"kind": "exact"} if approximate is None else _measured(index, rows, approximate)
        parts = {
            "features": (".bin", rows.tobytes()),
            "index": (".faiss", index_bytes(index)),
            "works": (".json", _canonical([asdict(work) for work in works])),
        }
        manifest = _manifest(parts, rows, backbone, search)
        root.mkdir(parents=True, exist_ok=True)
        for part, (_, data) in parts.items():
            _replace(root / manifest["files"][part]["name"], data)
        _replace(root / _MANIFEST, _canonical(manifest))
        _sweep(root, {entry["name"] for entry in manifest["files"].values()})
        return cls(root, manifest, rows, tuple(works), index)

    @classmethod
    def open(cls, root: Path, backbone: Backbone, *, digest: str | None = None) -> ProtectedIndex:
        """The index under ``root``, every byte of it verified; ``digest`` is the manifest's, where it is known.

        Raises BadIndex 'index-missing', 'index-damaged', 'index-changed' (another digest than asked for),
        'index-other-backbone' and 'index-miscounted'.
        """
        manifest = _read_manifest(root)
        if digest is not None and manifest["digest"] != digest:
            raise BadIndex(
                "index-changed",
                f"{root / _MANIFEST} is another index (got {manifest['digest']}, expected {digest}); open that one",
            )
        _check_backbone(root, manifest["backbone"], backbone)
        data = {part: _verified(root / entry["name"], entry) for part, entry in manifest["files"].items()}
        works = tuple(Work(**work) for work in json.loads(data["works"]))
        index = index_from_bytes(data["index"])
        features = np.frombuffer(data["features"], dtype=_TYPES[manifest["dtype"]])
        _check_counts(root, manifest, features.size, len(works), index.ntotal)
        return cls(root, manifest, features.reshape(manifest["count"], manifest["width"]), works, index)

    @property
    def digest(self) -> str:
        """The SHA-256 that pins everything in the index."""
        return str(self.manifest["digest"])

    @property
    def exact(self) -> bool:
        """Whether the search misses nothing."""
        return bool(self.manifest["search"]["kind"] == "exact")

    def add(self, features: Any, works: Sequence[Work], backbone: Backbone) -> ProtectedIndex:
        """The index with further works after those it holds; it takes this one's place under ``root`` in one step.

        BadRequest 'approximate-index' where the search is approximate: ``build`` measures its recall again.
        """
        _check_backbone(self.root, self.manifest["backbone"], backbone)
        if not self.exact:
            raise BadRequest("approximate-index", "works are added to an exact index only; build the approximate anew")
        rows = np.concatenate(
            [self.features.astype(np.float64), as_array(features).reshape(-1, self.features.shape[1])]
        )
        return self.build(self.root, rows, (*self.works, *works), backbone, dtype=self.manifest["dtype"])

    def nearest(self, features: Any, k: int = 1) -> Neighbours:
        """The ``k`` works nearest to images [n, width] of unit length, similarities in float64, ties to the first.

        Independent of the batch, and equal to comparing with every work where the index is exact.
        """
        rows = as_array(features)
        check_unit(rows, "the images searched for")
        if rows.shape[1] != self.features.shape[1]:
            raise BadRequest(
                "bad-features",
                f"images have {rows.shape[1]} numbers each (expected {self.features.shape[1]}); embed them alike",
            )
        return nearest_works(self._index, rows, self.features, k, exact=self.exact)

    def hits(
        self, images: Sequence[str], found: Neighbours, background: Background, threshold: Threshold
    ) -> tuple[Hit, ...]:
        """The evidence of every image and work of ``found`` above the threshold, most similar first."""
        if len(images) != len(found.work):
            raise BadRequest("bad-option", f"every image needs a name (got {len(images)} for {len(found.work)} images)")
        above = np.argwhere(found.similarity > threshold.value)
        hits = [self._hit(images[row], found, (row, place), background, threshold) for row, place in above]
        return tuple(sorted(hits, key=lambda hit: -hit.similarity))

    def _hit(
        self, image: str, found: Neighbours, cell: tuple[int, int], background: Background, threshold: Threshold
    ) -> Hit:
        similarity = float(found.similarity[cell])
        return Hit(
            image=image,
            work=self.works[found.work[cell]],
            similarity=similarity,
            threshold=threshold.value,
            false_positive_rate=threshold.false_positive_rate,
            p_value=background.p_value(similarity),
            share_at_least=background.share_at_least(similarity),
        )


def _check(rows: Works, works: Sequence[Work], backbone: Backbone) -> None:
    check_unit(rows, "the works' features")
    require_count("an index of protected works", len(rows), 1)
    if len(rows) != len(works) or rows.shape[1] != backbone.width:
        raise BadRequest(
            "works-do-not-fit",
            f"{len(works)} works have features {list(rows.shape)} (expected [{len(works)}, {backbone.width}])",
        )
    seen: set[str] = set()
    for work in works:
        if work.id in seen:
            raise BadRequest("work-twice", f"the work '{work.id}' comes twice; give every work an id of its own")
        seen.add(work.id)


def _inverted(rows: Works, approximate: Approximate) -> Any:
    if not 1 <= approximate.probes <= approximate.lists <= len(rows):
        raise BadRequest(
            "bad-option",
            f"an approximate search has 1 <= probes <= lists <= works "
            f"(got {approximate.probes}, {approximate.lists} and {len(rows)})",
        )
    return inverted_index(rows, approximate.lists, approximate.probes)


def _measured(index: Any, rows: Works, approximate: Approximate) -> dict[str, Any]:
    """The approximate search in words, with its recall: the share of queries whose most similar work it finds."""
    queries = as_array(approximate.queries)
    require_count("measuring the recall of an approximate index", len(queries), 100)
    truth = nearest_works(flat_index(rows), queries, rows, 1)
    found = nearest_works(index, queries, rows, 1, exact=False)
    recall = binomial_share(int((found.similarity >= truth.similarity).sum()), len(queries))
    return {
        "kind": "inverted-file",
        "lists": approximate.lists,
        "probes": approximate.probes,
        "recall": {"value": recall.value, "low": recall.interval.low, "high": recall.interval.high, "n": recall.n},
    }


def _manifest(
    parts: Mapping[str, tuple[str, bytes]], rows: Works, backbone: Backbone, search: Mapping[str, Any]
) -> dict[str, Any]:
    files = {}
    for part, (ending, data) in parts.items():
        digest = sha256(data).hexdigest()
        files[part] = {"bytes": len(data), "name": f"{part}-{digest[:16]}{ending}", "sha256": digest}
    facts = {
        "backbone": _backbone(backbone),
        "count": len(rows),
        "dtype": rows.dtype.name,
        "files": files,
        "format": _FORMAT,
        "search": dict(search),
        "width": rows.shape[1],
    }
    return {**facts, "digest": _digest(facts)}


def _backbone(backbone: Backbone) -> dict[str, str]:
    return {
        "identity": backbone.identity,
        "name": backbone.name,
        "protocol": backbone.protocol,
        "weights_digest": backbone.weights_digest,
    }


def _digest(facts: Mapping[str, Any]) -> str:
    return f"sha256:{sha256(_canonical(facts)).hexdigest()}"


def _canonical(document: Any) -> bytes:
    """One sequence of bytes for one document: sorted keys, no spaces, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _read_manifest(root: Path) -> dict[str, Any]:
    path = root / _MANIFEST
    if not path.is_file():
        raise BadIndex("index-missing", f"there is no {path}; build the index of protected works first")
    data = path.read_bytes()
    try:
        document = json.loads(data)
        manifest = {fact: value for fact, value in document.items() if fact != "digest"}
        sound = _canonical(document) == data and document["digest"] == _digest(manifest)
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        raise BadIndex("index-damaged", f"{path} is damaged; build the index again") from error
    if not sound or manifest["format"] != _FORMAT:
        raise BadIndex("index-damaged", f"{path} was changed after it was written; build the index again")
    return dict(document)


def _verified(path: Path, entry: Mapping[str, Any]) -> bytes:
    """The bytes of one file, which have the digest recorded: what is returned is what was hashed."""
    if not path.is_file():
        raise BadIndex("index-missing", f"{path} is missing though the manifest names it; build the index again")
    data = path.read_bytes()
    found = sha256(data).hexdigest()
    if found != entry["sha256"]:
        raise BadIndex(
            "index-damaged",
            f"{path} was changed after it was written (got {found}, expected {entry['sha256']}); build the index again",
        )
    return data


def _check_backbone(root: Path, built_with: Mapping[str, str], backbone: Backbone) -> None:
    given = _backbone(backbone)
    for fact, value in built_with.items():
        if given[fact] != value:
            raise BadIndex(
                "index-other-backbone",
                f"{root / _MANIFEST} was built with another backbone ({fact}: got {given[fact]}, expected {value}); "
                "use that backbone or build the index again",
            )


def _check_counts(root: Path, manifest: Mapping[str, Any], numbers: int, works: int, indexed: int) -> None:
    count, width = manifest["count"], manifest["width"]
    if (numbers, works, indexed) != (count * width, count, count):
        raise BadIndex(
            "index-miscounted",
            f"{root / _MANIFEST} says {count} works of {width} numbers "
            f"(got {numbers} numbers, {works} works, {indexed} indexed); build the index again",
        )


def _replace(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as part:
        part.write(data)
        part.flush()
        os.fsync(part.fileno())
    os.replace(part.name, path)


def _sweep(root: Path, kept: set[str]) -> None:
    """Remove what no manifest names any more: files of the index before this one, and parts never finished."""
    for pattern in ("features-*.bin", "index-*.faiss", "works-*.json", ".*.part"):
        for path in root.glob(pattern):
            if path.name not in kept:
                path.unlink(missing_ok=True)
