"""Balance: how far what is seen in the images lies from a declared target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.protocols import FEWEST
from imprimatur_evaluators.report import Balance
from imprimatur_evaluators.scoring.model import Compute, Inputs
from imprimatur_evaluators.statistics import alignment, disparity
from imprimatur_evaluators.statistics.arrays import Array, Indices
from imprimatur_evaluators.statistics.intervals import Estimate, holm


def _disparity(inputs: Inputs) -> Estimate:
    inputs.require(FEWEST)
    captions = _captions(inputs.options.get("labels", inputs.sample.labels))
    target = _target(inputs.option("target"), list(captions))
    seen = alignment.nearest_prompt(inputs.sample.features, inputs.texts(list(captions.values())))
    overall = disparity.disparity(np.bincount(seen, minlength=len(captions)), target, seed=inputs.seed)
    inputs.evidence.balance += _balances(inputs, seen, tuple(captions), target)
    inputs.detail(
        null_expectation=overall.null_expectation,
        p_value=overall.p_value,
        divergence=overall.divergence.value,
        divergence_low=overall.divergence.interval.low,
        divergence_high=overall.divergence.interval.high,
    )
    return overall.total_variation


def _balances(inputs: Inputs, seen: Indices, labels: tuple[str, ...], target: Array) -> list[Balance]:
    """One balance a prompt, the p-values adjusted for asking of several prompts."""
    prompts = np.array(inputs.sample.prompts)
    counts = {str(prompt): np.bincount(seen[prompts == prompt], minlength=len(labels)) for prompt in np.unique(prompts)}
    found = {prompt: disparity.disparity(count, target, seed=inputs.seed) for prompt, count in counts.items()}
    adjusted = holm([one.p_value for one in found.values()])
    return [
        Balance(
            score=inputs.measure.name,
            images=inputs.sample.name,
            prompt=prompt,
            labels=labels,
            counts=tuple(int(count) for count in counts[prompt]),
            target=tuple(float(share) for share in target),
            n=int(counts[prompt].sum()),
            total_variation=one.total_variation.plug_in,
            null_expectation=one.null_expectation,
            p_value=p_value,
        )
        for (prompt, one), p_value in zip(found.items(), adjusted, strict=True)
    ]


def _captions(labels: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """Labels with the caption by which each is recognised; a caption alone is its own label."""
    captions = dict(labels) if isinstance(labels, Mapping) else {label: label for label in labels}
    if len(captions) < 2:
        raise BadRequest("bad-option", f"disparity needs two or more labels to choose among (got {sorted(captions)})")
    return captions


def _target(target: str | Mapping[str, float] | Sequence[float], labels: Sequence[str]) -> Array:
    """Target shares in the order of the labels, adding up to one."""
    if isinstance(target, Mapping):
        if set(target) != set(labels):
            raise BadRequest("bad-target", f"the target names {sorted(target)} (expected {sorted(labels)})")
        shares = np.array([target[label] for label in labels], dtype=np.float64)
    elif target == "uniform":
        shares = np.ones(len(labels))
    elif isinstance(target, str):
        raise BadRequest("bad-target", f"a target is 'uniform' or shares (got '{target}')")
    else:
        shares = np.array(target, dtype=np.float64)
    if len(shares) != len(labels) or np.any(~(shares > 0)):
        raise BadRequest(
            "bad-target", f"a target needs one positive share for each of {len(labels)} labels (got {target})"
        )
    normal: Array = shares / shares.sum()
    return normal


METRICS: Mapping[str, Compute] = {"disparity": _disparity}
