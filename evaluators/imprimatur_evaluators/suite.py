"""One pass over the images that feeds every metric.

``measure`` decodes each image once, embeds it once for each backbone, and hands the features to every metric asked for.
Images are put in the order of their content first, so that no score depends on the order in which they came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np

from imprimatur_evaluators.backbones.model import AttributeClassifier, Backbone, JointBackbone, PreferenceModel
from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.features import Embedded, Embedder, FeatureCache, OnImages
from imprimatur_evaluators.images import Images
from imprimatur_evaluators.protocols import Measure, measure_of
from imprimatur_evaluators.report import Report
from imprimatur_evaluators.scoring import COMPUTED
from imprimatur_evaluators.scoring.model import Evidence, Inputs, MetricRequest, References, Sample, SampleSet
from imprimatur_evaluators.sources import Source
from imprimatur_evaluators.spec import Need, Score
from imprimatur_evaluators.statistics.arrays import Array, Indices

__all__ = ["MetricRequest", "References", "Sample", "measure"]


@dataclass(frozen=True)
class _Asked:
    """A request with the measure that its name means."""

    request: MetricRequest
    measure: Measure


def measure(
    requests: Sequence[MetricRequest],
    samples: Mapping[str, Sample],
    references: References,
    backbones: Mapping[str, Backbone],
    *,
    seed: int,
    cache: FeatureCache | None = None,
    workers: int = 1,
    skip_bad: bool = False,
    on_images: OnImages | None = None,
) -> Report:
    """The report of all ``requests``: one score each, in their order, and the evidence.

    ``backbones`` are those that the requests name. ``workers`` threads decode; no score depends on how many, nor on the
    cache. With ``skip_bad`` unacceptable images are left out and listed in the report; without, the first raises.
    ``on_images`` is told how many more images are done.

    Raises BadImage, TooFew, and BadRequest ('unknown-metric', 'no-backbone', 'metric-twice', 'unknown-set',
    'no-text-side', 'missing-reference', 'missing-prompts', 'prompts-do-not-fit', 'bad-option', 'bad-target').
    """
    asked = [_Asked(request, measure_of(request.name, request.backbone)) for request in requests]
    _check(asked, samples, backbones)
    embedder = Embedder(cache, workers=workers, skip_bad=skip_bad, on_images=on_images)
    return _Pass(asked, samples, references, backbones, embedder, seed).report()


def _check(asked: Sequence[_Asked], samples: Mapping[str, Sample], backbones: Mapping[str, Backbone]) -> None:
    names = [one.measure.name for one in asked]
    for one in asked:
        name, spec = one.measure.name, one.measure.spec
        if one.request.images not in samples:
            known = ", ".join(sorted(samples)) or "none"
            raise BadRequest("unknown-set", f"{name} asks for the images '{one.request.images}' (sets: {known})")
        if names.count(name) > 1:
            raise BadRequest("metric-twice", f"{name} is asked for {names.count(name)} times (expected once)")
        unknown = sorted(set(one.request.options) - set(spec.options))
        if unknown:
            known = ", ".join(sorted(spec.options)) or "none"
            raise BadRequest("bad-option", f"{name} has no option '{unknown[0]}' (it has: {known})")
        if one.measure.backbone not in backbones:
            known = ", ".join(sorted(backbones)) or "none"
            raise BadRequest("no-backbone", f"{name} needs the backbone '{one.measure.backbone}' (loaded: {known})")
        if spec.prompted and not all(samples[one.request.images].prompts):
            raise BadRequest("missing-prompts", f"{name} needs the prompt that each image was made for")
        _check_backbone(one.measure, backbones[one.measure.backbone])


def _check_backbone(measure: Measure, backbone: Backbone) -> None:
    """Nothing where the backbone can do what the statistic asks of it."""
    if measure.spec.joint and not isinstance(backbone, JointBackbone):
        raise BadRequest("no-text-side", f"{measure.name} needs a backbone that reads prompts, such as a CLIP")
    if measure.spec.labelled and not isinstance(backbone, JointBackbone | AttributeClassifier):
        raise BadRequest("no-labels", f"{measure.name} needs a backbone that reads captions, or a classifier")
    if measure.statistic == "preference" and not isinstance(backbone, PreferenceModel):
        raise BadRequest("no-preference", f"{measure.name} needs a model of what people prefer, such as hpsv2")


class _Pass:
    """One measurement: every set is embedded once, by all the backbones that some request needs for it."""

    def __init__(
        self,
        asked: Sequence[_Asked],
        samples: Mapping[str, Sample],
        references: References,
        backbones: Mapping[str, Backbone],
        embedder: Embedder,
        seed: int,
    ) -> None:
        self._asked, self._samples, self._references = asked, samples, references
        self._backbones, self._embedder, self._seed = backbones, embedder, seed
        self._evidence = Evidence()
        self._shared: dict[tuple[object, ...], Any] = {}
        self._texts: dict[tuple[str, str], Array] = {}

    def report(self) -> Report:
        samples = {
            name: self._embedded(
                sample.images, {one.measure.backbone for one in self._asked if name == one.request.images}
            )
            for name, sample in self._samples.items()
            if any(name == one.request.images for one in self._asked)
        }
        for name, found in samples.items():
            self._check_prompts(name, found)
        reals = {need: self._embedded(images, self._looking_at(need)) for need, images in self._real().items()}
        scores = tuple(self._score(one, samples[one.request.images], reals) for one in self._asked)
        every = samples | {need.value: each for need, each in reals.items()}
        left = self._evidence
        return Report(
            scores=scores,
            balance=tuple(left.balance),
            pairs=tuple(left.pairs),
            similarities=tuple(left.similarities),
            alignments=tuple(left.alignments),
            details=left.details,
            skipped={name: each.skipped for name, each in every.items() if each.skipped},
        )

    def _real(self) -> dict[Need, Images | Source]:
        """The real images that some request needs and that were handed in."""
        given = {Need(each.name): getattr(self._references, each.name) for each in fields(References)}
        return {need: images for need, images in given.items() if images is not None and self._looking_at(need)}

    def _looking_at(self, need: Need) -> set[str]:
        return {one.measure.backbone for one in self._asked if need in one.measure.spec.needs}

    def _embedded(self, images: Images | Source, names: set[str]) -> Embedded:
        return self._embedder.embed(images, [self._backbones[name] for name in sorted(names)])

    def _check_prompts(self, name: str, found: Embedded) -> None:
        images, prompts = len(found.places) + len(found.skipped), len(self._samples[name].prompts)
        if images != prompts:
            raise BadRequest(
                "prompts-do-not-fit",
                f"every image of '{name}' needs the prompt it was made for (got {images} images and {prompts} prompts)",
            )

    def _score(self, one: _Asked, found: Embedded, reals: Mapping[Need, Embedded]) -> Score:
        backbone = self._backbones[one.measure.backbone]
        estimate = COMPUTED[one.measure.statistic](self._inputs(one, found, reals, backbone))
        self._evidence.detail(one.measure, plug_in=estimate.plug_in)
        spec = one.measure.spec
        return Score(
            name=one.measure.name,
            value=estimate.value,
            ci_low=estimate.interval.low,
            ci_high=estimate.interval.high,
            n=estimate.n,
            direction=spec.direction,
            backbone=backbone.name,
            weights_digest=backbone.weights_digest,
            protocol="; ".join((spec.words(one.request.options), f"images {one.request.images}", backbone.protocol)),
            seed=self._seed,
        )

    def _inputs(self, one: _Asked, found: Embedded, reals: Mapping[Need, Embedded], backbone: Backbone) -> Inputs:
        sample = self._samples[one.request.images]
        order = _by_content(found, [sample.prompts[place] for place in found.places])
        return Inputs(
            measure=one.measure,
            sample=SampleSet(
                name=one.request.images,
                features=found.features[backbone.name][order],
                prompts=tuple(sample.prompts[found.places[row]] for row in order),
                labels=sample.labels,
                places=found.places[order],
            ),
            reals={
                need: _real_features(need, each, backbone.name)
                for need, each in reals.items()
                if need in one.measure.spec.needs
            },
            backbone=backbone,
            texts=lambda prompts: self._text_features(prompts, cast(JointBackbone, backbone)),
            options=one.request.options,
            seed=self._seed,
            evidence=self._evidence,
            shared=self._shared,
        )

    def _text_features(self, prompts: Sequence[str], backbone: JointBackbone) -> Array:
        missing = sorted({prompt for prompt in prompts if (backbone.identity, prompt) not in self._texts})
        if missing:
            fresh = zip(missing, backbone.text_features(missing), strict=True)
            self._texts.update({(backbone.identity, prompt): feature for prompt, feature in fresh})
        return np.stack([self._texts[backbone.identity, prompt] for prompt in prompts])


def _by_content(found: Embedded, prompts: Sequence[str]) -> Indices:
    keys = sorted(range(len(prompts)), key=lambda row: (found.digests[row], prompts[row], row))
    return np.array(keys, dtype=np.intp)


def _real_features(need: Need, found: Embedded, backbone: str) -> Array:
    """The features of real images in the order of their content; the protected works keep their own."""
    features = found.features[backbone]
    return features if need is Need.PROTECTED else features[_by_content(found, [""] * len(found.digests))]
