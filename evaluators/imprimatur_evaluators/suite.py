"""One pass over the images that feeds every metric.

``measure`` embeds each different image once and hands the features to every metric asked for. Images are put in the
order of their content first, so that no score depends on the order in which they came, nor on the batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from imprimatur_evaluators.backbones.model import JointBackbone
from imprimatur_evaluators.errors import BadRequest, require_count
from imprimatur_evaluators.features import FeatureCache, embed
from imprimatur_evaluators.images import Images, checked, image_digests
from imprimatur_evaluators.report import Balance, ImageAlignment, Pair, Report, SimilaritySummary
from imprimatur_evaluators.spec import Direction, Score
from imprimatur_evaluators.statistics import alignment, disparity, frechet, kernel, manifold, similarity
from imprimatur_evaluators.statistics.arrays import Array, Indices
from imprimatur_evaluators.statistics.intervals import Estimate, holm

FEWEST = 20
"""Images below which the intervals of kernel, density, coverage and cosine no longer cover what they say."""
_BINS = 40


@dataclass(frozen=True)
class MetricRequest:
    """One metric on one sample set.

    Names and options: frechet; kernel; density and coverage ``k`` (5); alignment and cosine ``prompts`` (distractors
    beside the set's own prompts); disparity ``labels`` (captions, or a mapping of labels to captions; by default the
    set's labels) and ``target`` ("uniform", shares in that order, or a mapping of labels to shares); similarity
    ``false_positive_rate`` (0.01) and ``pairs`` (how many of the nearest pairs to keep, 20).
    """

    name: str
    images: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Sample:
    """Generated images [n, h, w, 3] with the prompt of each, and the captions a zero-shot reader may choose among."""

    images: Images
    prompts: Sequence[str]
    labels: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class References:
    """Real images: the reference, held-out ones that calibrate the threshold, and the protected works."""

    reference: Images | None = None
    calibration: Images | None = None
    protected: Images | None = None


def measure(
    requests: Sequence[MetricRequest],
    samples: Mapping[str, Sample],
    references: References,
    backbone: JointBackbone,
    *,
    seed: int,
    cache: FeatureCache | None = None,
) -> Report:
    """The report of all ``requests``: one score each, in their order, and the evidence.

    Raises BadRequest ('unknown-metric', 'metric-twice', 'unknown-set', 'missing-reference', 'bad-option') and TooFew.
    """
    _check(requests, samples)
    return _Pass(samples, references, backbone, seed, cache).report(requests)


def _check(requests: Sequence[MetricRequest], samples: Mapping[str, Sample]) -> None:
    names = [request.name for request in requests]
    for name, sample in samples.items():
        if len(sample.images) != len(sample.prompts):
            found = f"got {len(sample.images)} images and {len(sample.prompts)} prompts"
            raise BadRequest(
                "prompts-do-not-fit", f"every image of '{name}' needs the prompt it was made for ({found})"
            )
    for request in requests:
        if request.name not in _METRICS:
            raise BadRequest(
                "unknown-metric", f"there is no metric '{request.name}' (known: {', '.join(sorted(_METRICS))})"
            )
        if request.images not in samples:
            known = ", ".join(sorted(samples)) or "none"
            raise BadRequest("unknown-set", f"{request.name} asks for the images '{request.images}' (sets: {known})")
        if names.count(request.name) > 1:
            raise BadRequest(
                "metric-twice", f"{request.name} is asked for {names.count(request.name)} times (expected once)"
            )
        unknown = sorted(set(request.options) - _METRICS[request.name].options)
        if unknown:
            raise BadRequest("bad-option", f"{request.name} has no option '{unknown[0]}'")


@dataclass(eq=False)
class _Embedded:
    """A sample in the order of its content: features, prompts, and where each image stood as it was handed in."""

    name: str
    sample: Sample
    backbone: JointBackbone
    cache: FeatureCache | None

    @cached_property
    def order(self) -> Indices:
        keys = zip(image_digests(checked(self.sample.images, self.name)), self.sample.prompts, strict=True)
        return np.array([row for _, row in sorted((key, row) for row, key in enumerate(keys))], dtype=np.intp)

    @cached_property
    def features(self) -> Array:
        return embed(self.sample.images[self.order], self.backbone, self.cache)

    @property
    def prompts(self) -> list[str]:
        return [self.sample.prompts[row] for row in self.order]


@dataclass(eq=False)
class _Evidence:
    """What the metrics of one pass leave behind beside their scores."""

    balance: list[Balance] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    similarity: SimilaritySummary | None = None
    alignments: list[ImageAlignment] = field(default_factory=list)
    details: dict[str, dict[str, float]] = field(default_factory=dict)


class _Pass:
    """One measurement: sets are embedded when first asked for, and once."""

    def __init__(
        self,
        samples: Mapping[str, Sample],
        references: References,
        backbone: JointBackbone,
        seed: int,
        cache: FeatureCache | None,
    ) -> None:
        self.backbone, self.seed, self.references, self.cache = backbone, seed, references, cache
        self.samples = {name: _Embedded(name, sample, backbone, cache) for name, sample in samples.items()}
        self.reals: dict[str, Array] = {}
        self.manifolds: dict[tuple[str, int], manifold.DensityCoverage] = {}
        self.evidence = _Evidence()

    def report(self, requests: Sequence[MetricRequest]) -> Report:
        scores = tuple(self._score(request) for request in requests)
        found = self.evidence
        return Report(
            scores, tuple(found.balance), tuple(found.pairs), found.similarity, tuple(found.alignments), found.details
        )

    def _score(self, request: MetricRequest) -> Score:
        metric = _METRICS[request.name]
        name = f"{request.name}/{self.backbone.name}"
        estimate = metric.compute(self, self.samples[request.images], request.options)
        self.evidence.details.setdefault(name, {})["plug_in"] = estimate.plug_in
        return Score(
            name=name,
            value=estimate.value,
            ci_low=estimate.interval.low,
            ci_high=estimate.interval.high,
            n=estimate.n,
            direction=metric.direction,
            backbone=self.backbone.name,
            weights_digest=self.backbone.weights_digest,
            protocol="; ".join((metric.words(request.options), f"images {request.images}", self.backbone.protocol)),
            seed=self.seed,
        )

    def real(self, which: str, metric: str) -> Array:
        """The features of one reference set, in the order of their content; the protected works keep their own."""
        images: Images | None = getattr(self.references, which)
        if images is None:
            raise BadRequest("missing-reference", f"{metric} needs {which} images (got none)")
        if which not in self.reals:
            features = embed(images, self.backbone, self.cache)
            self.reals[which] = (
                features if which == "protected" else features[np.argsort(image_digests(images), kind="stable")]
            )
        return self.reals[which]

    def detail(self, metric: str, **facts: float) -> None:
        """Keep further numbers beside the score of ``metric``."""
        self.evidence.details.setdefault(f"{metric}/{self.backbone.name}", {}).update(facts)


def _frechet(run: _Pass, sample: _Embedded, options: Mapping[str, Any]) -> Estimate:
    real = run.real("reference", "frechet")
    needed = frechet.frechet_needs(real.shape[1])
    require_count("frechet", len(sample.features), needed)
    require_count("the reference of frechet", len(real), needed)
    return frechet.frechet_estimate(real, sample.features, seed=run.seed)


def _kernel(run: _Pass, sample: _Embedded, options: Mapping[str, Any]) -> Estimate:
    real = run.real("reference", "kernel")
    require_count("kernel", min(len(sample.features), len(real)), FEWEST)
    return kernel.kernel_distance(real, sample.features)


def _manifold(run: _Pass, sample: _Embedded, options: Mapping[str, Any]) -> manifold.DensityCoverage:
    """Density and coverage of one set, which are one comparison however often they are asked for."""
    real, k = run.real("reference", "density and coverage"), int(options.get("k", 5))
    require_count("density and coverage", len(sample.features), FEWEST)
    require_count("the reference of density and coverage", len(real), max(FEWEST, k + 1))
    if (sample.name, k) not in run.manifolds:
        run.manifolds[sample.name, k] = manifold.density_coverage(real, sample.features, k)
    return run.manifolds[sample.name, k]


def _density(run: _Pass, sample: _Embedded, options: Mapping[str, Any]) -> Estimate:
    return _manifold(run, sample, options).density


def _coverage(run: _Pass, sample: _Embedded, options: Mapping[str, Any]) -> Estimate:
    return _manifold(run, sample, options).coverage


def _matches(run: _Pass, sample: _Embedded, options: Mapping[str, Any], metric: str) -> alignment.Matches:
    require_count(metric, len(sample.features), 2)
    candidates = sorted({*options.get("prompts", ()), *sample.prompts})
    if len(candidates) < 2:
        raise BadRequest("bad-option", f"{metric} needs at least one other prompt as a distractor (got {candidates})")
    own = np.array([candidates.index(prompt) for prompt in sample.prompts], dtype=np.intp)
    return alignment.matches(sample.features, run.backbone.text_features(candidates), own)


def _alignment(run: _Pass, sample: _Embedded, options: Mapping[str, Any]) -> Estimate:
    found = _matches(run, sample, options, "alignment")
    rows = zip(sample.order, found.cosine, found.margin, strict=True)
    run.evidence.alignments += sorted(
        (ImageAlignment(sample.name, int(row), float(cosine), float(margin)) for row, cosine, margin in rows),
        key=lambda one: one.index,
    )
    return alignment.retrieval_accuracy(found)


def _cosine(run: _Pass, sample: _Embedded, options: Mapping[str, Any]) -> Estimate:
    require_count("cosine", len(sample.features), FEWEST)
    return alignment.mean_cosine(_matches(run, sample, options, "cosine"))


def _disparity(run: _Pass, sample: _Embedded, options: Mapping[str, Any]) -> Estimate:
    require_count("disparity", len(sample.features), FEWEST)
    captions = _captions(options.get("labels", sample.sample.labels))
    target = _target(options.get("target", "uniform"), list(captions))
    seen = alignment.nearest_prompt(sample.features, run.backbone.text_features(list(captions.values())))
    overall = disparity.disparity(np.bincount(seen, minlength=len(captions)), target, seed=run.seed)
    run.evidence.balance += _balances(run, sample, seen, tuple(captions), target)
    run.detail(
        "disparity",
        null_expectation=overall.null_expectation,
        p_value=overall.p_value,
        divergence=overall.divergence.value,
        divergence_low=overall.divergence.interval.low,
        divergence_high=overall.divergence.interval.high,
    )
    return overall.total_variation


def _balances(run: _Pass, sample: _Embedded, seen: Indices, labels: tuple[str, ...], target: Array) -> list[Balance]:
    """One balance a prompt, the p-values adjusted for asking of several prompts."""
    prompts = np.array(sample.prompts)
    counts = {str(prompt): np.bincount(seen[prompts == prompt], minlength=len(labels)) for prompt in np.unique(prompts)}
    found = {prompt: disparity.disparity(count, target, seed=run.seed) for prompt, count in counts.items()}
    adjusted = holm([one.p_value for one in found.values()])
    return [
        Balance(
            images=sample.name,
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


def _similarity(run: _Pass, sample: _Embedded, options: Mapping[str, Any]) -> Estimate:
    works = run.real("protected", "similarity")
    held_out = similarity.nearest(run.real("calibration", "similarity"), works).similarity
    require_count("similarity", len(sample.features), 1)
    require_count("the protected works of similarity", len(works), 1)
    threshold = similarity.calibrate(held_out, float(options.get("false_positive_rate", 0.01)))
    found = similarity.nearest(sample.features, works)
    share = similarity.share_above(found.similarity, threshold)
    run.evidence.pairs += _pairs(sample, found, threshold, int(options.get("pairs", 20)))
    run.evidence.similarity = _summary(sample.name, found.similarity, held_out, threshold)
    run.detail("similarity", threshold=threshold.value, false_positive_rate=threshold.false_positive_rate)
    return share


def _pairs(sample: _Embedded, found: similarity.Nearest, threshold: similarity.Threshold, kept: int) -> list[Pair]:
    """The nearest pairs, most similar first."""
    order = np.argsort(-found.similarity, kind="stable")[:kept]
    return [
        Pair(
            sample.name,
            int(sample.order[row]),
            int(found.work[row]),
            float(found.similarity[row]),
            bool(found.similarity[row] > threshold.value),
        )
        for row in order
    ]


def _summary(name: str, generated: Array, held_out: Array, threshold: similarity.Threshold) -> SimilaritySummary:
    lowest = min(float(generated.min()), float(held_out.min()))
    edges = np.linspace(lowest, max(1.0, float(generated.max()), float(held_out.max())), _BINS + 1)
    return SimilaritySummary(
        images=name,
        threshold=threshold.value,
        false_positive_rate=threshold.false_positive_rate,
        expected_false_alarms=threshold.false_positive_rate * len(generated),
        hits=int((generated > threshold.value).sum()),
        n=len(generated),
        generated=tuple(int(count) for count in np.histogram(generated, edges)[0]),
        held_out=tuple(int(count) for count in np.histogram(held_out, edges)[0]),
        edges=tuple(float(edge) for edge in edges),
    )


@dataclass(frozen=True)
class _Metric:
    compute: Callable[[_Pass, _Embedded, Mapping[str, Any]], Estimate]
    direction: Direction
    protocol: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    options: frozenset[str] = frozenset()

    def words(self, options: Mapping[str, Any]) -> str:
        """The protocol with the options in it."""
        return self.protocol.format(**{**self.defaults, **options})


_METRICS = {
    "frechet": _Metric(
        _frechet,
        Direction.LOWER,
        "Frechet distance of Gaussians, between the populations, bias-corrected; basic bootstrap over both sides, "
        "300 resamples",
    ),
    "kernel": _Metric(
        _kernel,
        Direction.LOWER,
        "squared MMD, kernel (x.y/d + 1)^3, full U-statistic, between the populations; jackknife over both sides",
    ),
    "density": _Metric(
        _density,
        Direction.HIGHER,
        "density with k={k}, expectation against this reference; Student's interval over the generated images",
        {"k": 5},
        frozenset({"k"}),
    ),
    "coverage": _Metric(
        _coverage,
        Direction.HIGHER,
        "coverage with k={k}, expectation at this n against this reference; jackknife over the generated images",
        {"k": 5},
        frozenset({"k"}),
    ),
    "alignment": _Metric(
        _alignment,
        Direction.HIGHER,
        "share of images whose own prompt ranks first among the declared prompts; Clopper-Pearson",
        options=frozenset({"prompts"}),
    ),
    "cosine": _Metric(
        _cosine,
        Direction.HIGHER,
        "mean cosine between image and own prompt, unscaled; Student's interval",
        options=frozenset({"prompts"}),
    ),
    "disparity": _Metric(
        _disparity,
        Direction.LOWER,
        "total variation of zero-shot labels from the target, median-unbiased; inverted multinomial tests, 2000 draws",
        options=frozenset({"labels", "target"}),
    ),
    "similarity": _Metric(
        _similarity,
        Direction.LOWER,
        "share of images nearer to a protected work than the threshold, calibrated on held-out reals at a "
        "false-positive rate of {false_positive_rate}; Clopper-Pearson given the threshold",
        {"false_positive_rate": 0.01},
        frozenset({"false_positive_rate", "pairs"}),
    ),
}
