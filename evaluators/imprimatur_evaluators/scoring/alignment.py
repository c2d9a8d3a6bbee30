"""Prompt following: how well generated images match the prompts that they were made for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.protocols import FEWEST
from imprimatur_evaluators.report import ImageAlignment
from imprimatur_evaluators.scoring.model import Compute, Inputs
from imprimatur_evaluators.statistics import alignment
from imprimatur_evaluators.statistics.intervals import Estimate


def _matches(inputs: Inputs) -> alignment.Matches:
    """Every image against its own prompt and the distractors."""
    prompts = inputs.sample.prompts
    candidates = sorted({*inputs.options.get("prompts", ()), *prompts})
    if len(candidates) < 2:
        raise BadRequest(
            "bad-option", f"{inputs.measure.name} needs at least one other prompt as a distractor (got {candidates})"
        )
    own = np.array([candidates.index(prompt) for prompt in prompts], dtype=np.intp)
    return alignment.matches(inputs.sample.features, inputs.texts(candidates), own)


def _retrieval(inputs: Inputs) -> Estimate:
    inputs.require(2)
    found = _matches(inputs)
    rows = zip(inputs.sample.places, found.cosine, found.margin, strict=True)
    inputs.evidence.alignments += sorted(
        (
            ImageAlignment(inputs.measure.name, inputs.sample.name, int(row), float(cosine), float(margin))
            for row, cosine, margin in rows
        ),
        key=lambda one: one.index,
    )
    return alignment.retrieval_accuracy(found)


def _cosine(inputs: Inputs) -> Estimate:
    inputs.require(FEWEST)
    return alignment.mean_cosine(_matches(inputs))


METRICS: Mapping[str, Compute] = {"alignment": _retrieval, "cosine": _cosine}
