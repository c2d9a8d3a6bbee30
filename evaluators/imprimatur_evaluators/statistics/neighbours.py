"""The most similar works of each image: FAISS finds candidates in float32, float64 decides among them.

The answer is that of comparing everything with everything in float64, whatever the batch: a bound on float32's error
says for which images the candidates certainly hold the nearest works, and the others are compared with all of them.
This is the one place that imports FAISS, and only when something is searched, written or read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.statistics.arrays import Array, Indices

Works = NDArray[np.float64] | NDArray[np.float32]
"""Features [p, d] of works, as they are kept."""
_SPARE = 8
_ROUNDING = 2.0**-24
_BLOCK = 1 << 22
_UNIT = 1e-4


@dataclass(frozen=True, eq=False)
class Neighbours:
    """For each image [n, k]: the k most similar works by index, most similar first, and the cosines with them."""

    work: Indices
    similarity: Array


def flat_index(works: Works) -> Any:
    """FAISS's exact index of works [p, d] by inner product."""
    import faiss

    index = faiss.IndexFlatIP(works.shape[1])
    index.add(np.ascontiguousarray(works, dtype=np.float32))
    return index


def inverted_index(works: Works, lists: int, probes: int) -> Any:
    """FAISS's inverted file of works [p, d]: ``probes`` of ``lists`` cells are searched, so works can be missed."""
    import faiss

    rows = np.ascontiguousarray(works, dtype=np.float32)
    index: Any = faiss.index_factory(works.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(rows)
    index.add(rows)
    index.nprobe = probes
    return index


def index_bytes(index: Any) -> bytes:
    """The index as FAISS writes it."""
    import faiss

    written: NDArray[np.uint8] = faiss.serialize_index(index)
    return written.tobytes()


def index_from_bytes(data: bytes) -> Any:
    """The index in ``data``; verify their digest first, for FAISS trusts what it reads."""
    import faiss

    return faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))


def nearest_works(index: Any, images: Array, works: Works, k: int, *, exact: bool = True) -> Neighbours:
    """The ``k`` works of [p, d] most similar to each image [n, d]; of equal works the first comes first.

    Similarities are inner products in float64. With ``exact`` false the index may miss works, and what it found is
    ranked. Raises BadRequest 'bad-option' where there are fewer than ``k`` works, or none is asked for.
    """
    check_neighbours(k, len(works))
    wanted = min(k + _SPARE, len(works))
    scores, candidates = index.search(np.ascontiguousarray(images, dtype=np.float32), wanted)
    found = [_ranked(image, works, row, k) for image, row in zip(images, candidates, strict=True)]
    if exact:
        longest = float(np.linalg.norm(works, axis=1).max())
        for row in np.flatnonzero(_uncertain(found, scores, images, longest, len(works))):
            found[row] = _ranked(images[row], works, _among_all(images[row], works, k), k)
    shape = (len(images), k)
    return Neighbours(
        np.array([work for work, _ in found], dtype=np.intp).reshape(shape),
        np.array([cosine for _, cosine in found], dtype=np.float64).reshape(shape),
    )


def check_neighbours(k: int, works: int) -> None:
    """Nothing where ``k`` neighbours can be found among so many works; otherwise BadRequest 'bad-option'."""
    if not 1 <= k <= works:
        raise BadRequest("bad-option", f"the nearest {k} of {works} works were asked for (expected 1 to {works})")


def check_unit(features: Works, what: str) -> None:
    """Nothing where every row of ``features`` [n, d] is finite and of unit length; otherwise BadRequest."""
    if features.ndim != 2:
        raise BadRequest("bad-features", f"{what} has shape {list(features.shape)} (expected [images, width])")
    lengths = np.linalg.norm(features.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~(np.abs(lengths - 1) <= _UNIT))
    if len(wrong):
        raise BadRequest(
            "not-unit-length",
            f"row {wrong[0]} of {what} has length {lengths[wrong[0]]:.6g} (expected 1); divide it by its length",
        )


def _ranked(image: Array, works: Works, candidates: Indices, k: int) -> tuple[Indices, Array]:
    """The first ``k`` of the candidates by cosine, then by index; -1, where an index found nothing, comes last."""
    rows = np.sort(candidates[candidates >= 0]).astype(np.intp)
    cosines = _cosines(image, works[rows])
    order = np.argsort(-cosines, kind="stable")[:k]
    gap = k - len(order)
    return np.pad(rows[order], (0, gap), constant_values=-1), np.pad(cosines[order], (0, gap), constant_values=-np.inf)


def _cosines(image: Array, works: Works) -> Array:
    """Inner products summed row by row, so that no number depends on which other rows are there, as in BLAS it does."""
    products: Array = (works.astype(np.float64, copy=False) * image).sum(axis=1)
    return products


def _uncertain(
    found: list[tuple[Indices, Array]], scores: NDArray[np.float32], images: Array, longest: float, count: int
) -> NDArray[np.bool_]:
    """Whether a work left out of the candidates might belong among the nearest: float32's error allows it."""
    if scores.shape[1] == count:
        return np.zeros(len(images), dtype=np.bool_)
    last = np.array([cosines[-1] for _, cosines in found]).reshape(len(images))
    error = (images.shape[1] + 3) * _ROUNDING * np.linalg.norm(images, axis=1) * longest
    uncertain: NDArray[np.bool_] = last <= scores[:, -1].astype(np.float64) + error
    return uncertain


def _among_all(image: Array, works: Works, k: int) -> Indices:
    """The indices of the ``k`` nearest of all works, those equal to the last of them included."""
    rows = max(1, _BLOCK // works.shape[1])
    cosines = np.concatenate([_cosines(image, works[top : top + rows]) for top in range(0, len(works), rows)])
    last = np.partition(cosines, len(cosines) - k)[len(cosines) - k]
    among: Indices = np.flatnonzero(cosines >= last)
    return among
