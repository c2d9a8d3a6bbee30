"""What a reviewer is shown: random samples, the worst aligned, the nearest pairs, balance and histograms.

Every image shown becomes a PNG blob in the sealed store, so that the evidence can't change after the decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from imprimatur.core.digests import Digest
from imprimatur.evaluation.engine import Sampled
from imprimatur.evaluation.shards import Images
from imprimatur.storage.service import SealedStore
from imprimatur_evaluators.report import Pair, Report

RANDOM = 24
WORST = 12
NEAREST = 12


@dataclass(frozen=True)
class Works:
    """The protected works: their images as PNG bytes, and whose each one is."""

    images: Sequence[bytes]
    rights: Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class EvidenceRoom:
    """Turns a report and the images that it is about into the evidence document."""

    store: SealedStore
    sampled: Mapping[str, Sampled]
    works: Works | None
    seed: int

    def document(self, report: Report) -> dict[str, Any]:
        """The evidence of ``report`` as JSON, its images stored."""
        return {
            "samples": {"seed": self.seed, "images": self._random()},
            "worst": self._worst(report),
            "pairs": [self._pair(pair) for pair in report.pairs[:NEAREST]],
            "similarity": _similarity(report),
            "balance": _balance(report),
            "details": {name: dict(facts) for name, facts in (report.details or {}).items()},
        }

    def _random(self) -> list[dict[str, Any]]:
        every = [(name, index) for name, sample in self.sampled.items() for index in range(len(sample.images))]
        generator = np.random.default_rng(self.seed)
        chosen = generator.choice(len(every), size=min(RANDOM, len(every)), replace=False)
        return [self._image(*every[position]) for position in chosen]

    def _worst(self, report: Report) -> list[dict[str, Any]]:
        worst = sorted(report.alignments, key=lambda each: (each.margin, each.images, each.index))[:WORST]
        return [
            {**self._image(each.images, each.index), "alignment": each.cosine, "margin": each.margin} for each in worst
        ]

    def _pair(self, pair: Pair) -> dict[str, Any]:
        if self.works is None:
            raise AssertionError("a pair without works")
        return {
            **self._image(pair.images, pair.index),
            "work_blob": self.store.put_blob(self.works.images[pair.work]),
            **self.works.rights[pair.work],
            "similarity": pair.similarity,
            "above": pair.above,
            "p_value": pair.p_value,
        }

    def _image(self, images: str, index: int) -> dict[str, Any]:
        sample = self.sampled[images]
        return {
            "blob": self._put(sample.images[index]),
            "prompt": sample.prompts[index].text,
            "seed": sample.seeds[index],
        }

    def _put(self, pixels: Images) -> Digest:
        sink = BytesIO()
        Image.fromarray(pixels).save(sink, "PNG")
        return self.store.put_blob(sink.getvalue())


def _similarity(report: Report) -> dict[str, Any] | None:
    if not report.similarities:
        return None
    found = report.similarities[0]
    return {
        "threshold": found.threshold,
        "false_positive_rate": found.false_positive_rate,
        "expected_false_alarms": found.expected_false_alarms,
        "hits": found.hits,
        "n": found.n,
        "generated": list(found.generated),
        "held_out": list(found.held_out),
        "edges": list(found.edges),
    }


def _balance(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "prompt": each.prompt,
            "labels": list(each.labels),
            "counts": list(each.counts),
            "target": list(each.target),
            "undeterminable": each.undeterminable,
            "n": each.n,
            "total_variation": each.total_variation,
            "interval": [each.ci_low, each.ci_high],
            "null_expectation": each.null_expectation,
            "p_value": each.p_value,
        }
        for each in report.balance
    ]
