"""Balance: how far what is perceived in the images lies from a declared target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imprimatur_evaluators.attributes import Reading, read_captions_of, read_probabilities
from imprimatur_evaluators.backbones.model import AttributeClassifier
from imprimatur_evaluators.errors import BadRequest, TooFew
from imprimatur_evaluators.protocols import FEWEST
from imprimatur_evaluators.report import Balance
from imprimatur_evaluators.scoring.model import Compute, Inputs
from imprimatur_evaluators.statistics.arrays import Array, Indices
from imprimatur_evaluators.statistics.confusion import Confusion, corrected_disparity
from imprimatur_evaluators.statistics.disparity import disparity
from imprimatur_evaluators.statistics.disparity_prompts import mean_disparity
from imprimatur_evaluators.statistics.intervals import Estimate, binomial_share, holm


@dataclass(frozen=True, eq=False)
class _Read:
    """What was read in a sample, and against what it is held."""

    labels: tuple[str, ...]
    target: Array
    reading: Reading

    @property
    def counts(self) -> Indices:
        """Each label's count, and last that of the undeterminable [labels + 1]."""
        return self.reading.counts(len(self.labels))

    def told(self, inputs: Inputs) -> Indices:
        """The counts of labels alone; TooFew where nearly nothing could be told."""
        counts = self.counts[:-1]
        if counts.sum() < FEWEST:
            raise TooFew(
                "too-few-images",
                f"{inputs.measure.name} needs at least {FEWEST} images in which a label can be told "
                f"(got {counts.sum()} of {self.counts.sum()}); generate more, or lower the certainty",
                found=int(counts.sum()),
                needed=FEWEST,
            )
        return counts

    def by_prompt(self, inputs: Inputs) -> dict[str, Indices]:
        """The counts of labels [labels] by prompt, in the order of the prompts."""
        prompts = np.array(inputs.sample.prompts)
        return {
            str(prompt): np.bincount(
                self.reading.label[(prompts == prompt) & (self.reading.label >= 0)], minlength=len(self.labels)
            )
            for prompt in np.unique(prompts)
        }


def _read(inputs: Inputs) -> _Read:
    """What a classifier, or a joint backbone by captions, reads in the sample."""
    inputs.require(FEWEST)
    certainty = float(inputs.option("certainty"))
    if isinstance(inputs.backbone, AttributeClassifier):
        labels = inputs.backbone.labels
        reading = read_probabilities(inputs.sample.features, certainty=certainty)
    else:
        captions = _captions(inputs.options.get("labels", inputs.sample.labels))
        labels = tuple(captions)
        texts = inputs.texts(list(captions.values()))
        reading = read_captions_of(inputs.sample.features, texts, certainty=certainty)
    return _Read(labels, _target(inputs.option("target"), labels), reading)


def _disparity(inputs: Inputs) -> Estimate:
    """The distance of the shares over all images; corrected where a confusion matrix is declared."""
    read = _read(inputs)
    counts = read.told(inputs)
    overall = disparity(counts, read.target, seed=inputs.seed)
    inputs.evidence.balance += _balances(inputs, read)
    inputs.detail(
        null_expectation=overall.null_expectation,
        p_value=overall.p_value,
        divergence=overall.divergence.value,
        divergence_low=overall.divergence.interval.low,
        divergence_high=overall.divergence.interval.high,
        undeterminable=float(read.counts[-1]) / len(inputs.sample),
    )
    confusion = inputs.options.get("confusion")
    if not confusion:
        return overall.total_variation
    inputs.detail(uncorrected=overall.total_variation.value)
    matrix = Confusion(np.asarray(confusion, dtype=np.int64))
    return corrected_disparity(read.counts, matrix, read.target, seed=inputs.seed)


def _disparity_by_prompt(inputs: Inputs) -> Estimate:
    """The mean over prompts of each prompt's distance."""
    read = _read(inputs)
    read.told(inputs)
    counts = read.by_prompt(inputs)
    if len(counts) < 2:
        raise BadRequest("too-few-prompts", f"{inputs.measure.name} needs two or more prompts (got {len(counts)})")
    empty = [prompt for prompt, count in counts.items() if not count.sum()]
    if empty:
        raise TooFew("nothing-told", f"no image of '{empty[0]}' shows a label; lower the certainty", found=0, needed=1)
    return mean_disparity(list(counts.values()), read.target, seed=inputs.seed)


def _undeterminable(inputs: Inputs) -> Estimate:
    counts = _read(inputs).counts
    return binomial_share(int(counts[-1]), int(counts.sum()))


def _balances(inputs: Inputs, read: _Read) -> list[Balance]:
    """One balance a prompt in which a label was told, the p-values adjusted for asking of several prompts."""
    counts = {prompt: count for prompt, count in read.by_prompt(inputs).items() if count.sum()}
    found = {prompt: disparity(count, read.target, seed=inputs.seed) for prompt, count in counts.items()}
    adjusted = holm([one.p_value for one in found.values()])
    prompts = np.array(inputs.sample.prompts)
    return [
        Balance(
            score=inputs.measure.name,
            images=inputs.sample.name,
            prompt=prompt,
            labels=read.labels,
            counts=tuple(int(count) for count in counts[prompt]),
            undeterminable=int((read.reading.label[prompts == prompt] < 0).sum()),
            target=tuple(float(share) for share in read.target),
            n=int(counts[prompt].sum()),
            total_variation=one.total_variation.plug_in,
            ci_low=one.total_variation.interval.low,
            ci_high=one.total_variation.interval.high,
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


METRICS: Mapping[str, Compute] = {
    "disparity": _disparity,
    "disparity-by-prompt": _disparity_by_prompt,
    "undeterminable": _undeterminable,
}
