"""Prompt following: how well generated images match the prompts that they were made for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from imprimatur_evaluators.backbones.model import JointBackbone, PreferenceModel
from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.protocols import FEWEST
from imprimatur_evaluators.report import ImageAlignment
from imprimatur_evaluators.scoring.model import Compute, Inputs
from imprimatur_evaluators.statistics import alignment
from imprimatur_evaluators.statistics.arrays import Indices
from imprimatur_evaluators.statistics.intervals import Estimate


def _own(inputs: Inputs) -> Indices:
    """Which of the sample's different prompts, in order, each image was made for."""
    different = sorted(set(inputs.sample.prompts))
    return np.array([different.index(prompt) for prompt in inputs.sample.prompts], dtype=np.intp)


def _matches(inputs: Inputs) -> alignment.Matches:
    """Every image against its own prompt and the distractors; prompts that were cut are counted beside the score."""
    prompts = inputs.sample.prompts
    candidates = sorted({*inputs.options.get("prompts", ()), *prompts})
    if len(candidates) < 2:
        raise BadRequest(
            "bad-option", f"{inputs.measure.name} needs at least one other prompt as a distractor (got {candidates})"
        )
    inputs.detail(truncated_prompts=float(cast(JointBackbone, inputs.backbone).truncated(candidates)))
    own = np.array([candidates.index(prompt) for prompt in prompts], dtype=np.intp)
    return alignment.matches(inputs.sample.features, inputs.texts(candidates), own)


def _cosines(inputs: Inputs) -> alignment.Matches:
    """Every image against its own prompt alone; the margin means nothing where there is one prompt."""
    inputs.require(FEWEST)
    different = sorted(set(inputs.sample.prompts))
    inputs.detail(truncated_prompts=float(cast(JointBackbone, inputs.backbone).truncated(different)))
    own = inputs.texts(list(inputs.sample.prompts))
    cosine = np.einsum("nd,nd->n", inputs.sample.features, own)
    return alignment.Matches(cosine, np.zeros(len(cosine)))


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


def _preference(inputs: Inputs) -> Estimate:
    inputs.require(FEWEST)
    model = cast(PreferenceModel, inputs.backbone)
    return alignment.mean_over_prompts(model.preferences(inputs.sample.features, inputs.sample.prompts), _own(inputs))


METRICS: Mapping[str, Compute] = {
    "alignment": _retrieval,
    "cosine": lambda inputs: alignment.mean_cosine(_cosines(inputs), _own(inputs)),
    "cosine-x100": lambda inputs: alignment.clip_score(_cosines(inputs), _own(inputs)),
    "cosine-hessel": lambda inputs: alignment.clip_score_hessel(_cosines(inputs), _own(inputs)),
    "preference": _preference,
}
