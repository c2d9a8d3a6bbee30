"""What is asked for, and what a metric is given to answer it. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imprimatur_evaluators.backbones.model import Backbone
from imprimatur_evaluators.errors import BadRequest, require_count
from imprimatur_evaluators.images import Images
from imprimatur_evaluators.protocols import Measure
from imprimatur_evaluators.report import Balance, ImageAlignment, Pair, SimilaritySummary
from imprimatur_evaluators.sources import Source
from imprimatur_evaluators.spec import Need
from imprimatur_evaluators.statistics.arrays import Array, Indices
from imprimatur_evaluators.statistics.intervals import Estimate


@dataclass(frozen=True)
class MetricRequest:
    """One metric on one sample set: ``fid``, ``frechet/digits-clip``, or ``frechet`` with its ``backbone``.

    The options of each metric stand in its ``MetricSpec``.
    """

    name: str
    images: str
    options: Mapping[str, Any] = field(default_factory=dict)
    backbone: str | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """Generated images with the prompt of each, and the captions a zero-shot reader may choose among."""

    images: Images | Source
    prompts: Sequence[str]
    labels: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class References:
    """Real images: the reference, held-out ones that calibrate the threshold, and the protected works."""

    reference: Images | Source | None = None
    calibration: Images | Source | None = None
    protected: Images | Source | None = None


@dataclass(frozen=True, eq=False)
class SampleSet:
    """A sample as one backbone sees it, in the order of its content.

    ``places`` [n] says where each image stood as it was handed in.
    """

    name: str
    features: Array
    prompts: tuple[str, ...]
    labels: Sequence[str]
    places: Indices

    def __len__(self) -> int:
        return len(self.features)


@dataclass(eq=False)
class Evidence:
    """What the metrics of one pass leave behind beside their scores."""

    balance: list[Balance] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    similarities: list[SimilaritySummary] = field(default_factory=list)
    alignments: list[ImageAlignment] = field(default_factory=list)
    details: dict[str, dict[str, float]] = field(default_factory=dict)

    def detail(self, measure: Measure, **facts: float) -> None:
        """Keep further numbers beside the score of ``measure``."""
        self.details.setdefault(measure.name, {}).update(facts)


Texts = Callable[[Sequence[str]], Array]
"""Features of prompts, each embedded once in a pass."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """All that one metric may look at. ``shared`` keeps what several metrics of the pass need, by a key of theirs."""

    measure: Measure
    sample: SampleSet
    reals: Mapping[Need, Array]
    backbone: Backbone
    texts: Texts
    options: Mapping[str, Any]
    seed: int
    evidence: Evidence
    shared: dict[tuple[object, ...], Any]

    def real(self, need: Need) -> Array:
        """The features of one reference set; BadRequest 'missing-reference' where none was handed in."""
        if need not in self.reals:
            raise BadRequest("missing-reference", f"{self.measure.name} needs {need.value} images (got none)")
        return self.reals[need]

    def option(self, name: str) -> Any:
        """The option as asked for, else its default."""
        return self.options.get(name, self.measure.spec.options[name])

    def require(self, count: int) -> None:
        """Nothing where the sample has ``count`` images; otherwise TooFew names the metric."""
        require_count(self.measure.name, len(self.sample), count)

    def once(self, key: tuple[object, ...], work: Callable[[], Any]) -> Any:
        """What ``work`` yields, done once a pass for this key, backbone and sample."""
        full = (*key, self.measure.backbone, self.sample.name)
        if full not in self.shared:
            self.shared[full] = work()
        return self.shared[full]

    def detail(self, **facts: float) -> None:
        """Keep further numbers beside this score."""
        self.evidence.detail(self.measure, **facts)


Compute = Callable[[Inputs], Estimate]
"""What answers a request: the estimate, with its evidence left in ``Inputs.evidence``."""
