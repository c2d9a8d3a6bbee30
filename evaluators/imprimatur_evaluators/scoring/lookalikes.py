"""Look-alikes: generated images that lie nearer to protected works than real images do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from imprimatur_evaluators.errors import require_count
from imprimatur_evaluators.report import Pair, SimilaritySummary
from imprimatur_evaluators.scoring.model import Compute, Inputs
from imprimatur_evaluators.spec import Need
from imprimatur_evaluators.statistics import similarity
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.background import Background, false_alarms, share_at_rate
from imprimatur_evaluators.statistics.extraction import calibrate_groups, disjoint_groups, extraction, group_levels
from imprimatur_evaluators.statistics.intervals import Estimate

_BINS = 40


def _similarity(inputs: Inputs) -> Estimate:
    works = inputs.real(Need.PROTECTED)
    inputs.require(1)
    require_count(f"the protected works of {inputs.measure.name}", len(works), 1)
    held_out = similarity.nearest(inputs.real(Need.CALIBRATION), works).similarity
    rate = float(inputs.option("false_positive_rate"))
    background = Background.of(held_out)
    threshold = background.threshold(rate)
    found = similarity.nearest(inputs.sample.features, works)
    alarms = false_alarms(found.similarity, threshold)
    at_rate = share_at_rate(found.similarity, background, rate)
    inputs.evidence.pairs += _pairs(inputs, found, threshold, background)
    inputs.evidence.similarities.append(_summary(inputs, found.similarity, held_out, threshold))
    inputs.detail(
        threshold=threshold.value,
        false_positive_rate=threshold.false_positive_rate,
        expected_false_alarms=alarms.expected,
        p_value=alarms.p_value,
        at_rate_low=at_rate.interval.low,
        at_rate_high=at_rate.interval.high,
    )
    return similarity.share_above(found.similarity, threshold)


def _extraction(inputs: Inputs) -> Estimate:
    """The share of captions extracted; what is normal is measured on groups of held-out images."""
    works, held_out = inputs.real(Need.PROTECTED), inputs.real(Need.CALIBRATION)
    rate, size = float(inputs.option("false_positive_rate")), int(inputs.option("size"))
    seeds = min(Counter(inputs.sample.prompts).values())
    groups = disjoint_groups([""] * len(held_out), seeds, seed=inputs.seed)
    alike = calibrate_groups(group_levels(held_out, groups, size), rate) if seeds >= size else 1.0
    member = similarity.calibrate(similarity.nearest(held_out, works).similarity, rate)
    found = extraction(
        inputs.sample.features, inputs.sample.prompts, alike, size=size, training=works, training_threshold=member
    )
    inputs.detail(
        seeds=float(seeds),
        found=found.found.value,
        group_threshold=alike if isinstance(alike, float) else alike.value,
        training_threshold=member.value,
    )
    return found.share


def _pairs(
    inputs: Inputs, found: similarity.Nearest, threshold: similarity.Threshold, background: Background
) -> list[Pair]:
    """The nearest pairs, most similar first."""
    order = np.argsort(-found.similarity, kind="stable")[: int(inputs.option("pairs"))]
    return [
        Pair(
            images=inputs.sample.name,
            index=int(inputs.sample.places[row]),
            work=int(found.work[row]),
            similarity=float(found.similarity[row]),
            above=bool(found.similarity[row] > threshold.value),
            p_value=background.p_value(float(found.similarity[row])),
            score=inputs.measure.name,
        )
        for row in order
    ]


def _summary(inputs: Inputs, generated: Array, held_out: Array, threshold: similarity.Threshold) -> SimilaritySummary:
    lowest = min(float(generated.min()), float(held_out.min()))
    edges = np.linspace(lowest, max(1.0, float(generated.max()), float(held_out.max())), _BINS + 1)
    return SimilaritySummary(
        score=inputs.measure.name,
        images=inputs.sample.name,
        threshold=threshold.value,
        false_positive_rate=threshold.false_positive_rate,
        expected_false_alarms=threshold.false_positive_rate * len(generated),
        hits=int((generated > threshold.value).sum()),
        n=len(generated),
        generated=tuple(int(count) for count in np.histogram(generated, edges)[0]),
        held_out=tuple(int(count) for count in np.histogram(held_out, edges)[0]),
        edges=tuple(float(edge) for edge in edges),
    )


METRICS: Mapping[str, Compute] = {"similarity": _similarity, "extraction": _extraction}
