"""What one measurement yields: the scores, and the evidence behind each number. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imprimatur_evaluators.spec import Score


@dataclass(frozen=True)
class Balance:
    """Labels seen in one prompt's images, against the target; ``p_value`` is Holm-adjusted over the prompts.

    ``n`` counts the images in which a label was told, ``undeterminable`` the others; the interval is that of the
    population's total variation, ``total_variation`` the formula on these images.
    """

    score: str
    images: str
    prompt: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    undeterminable: int
    target: tuple[float, ...]
    n: int
    total_variation: float
    ci_low: float
    ci_high: float
    null_expectation: float
    p_value: float


@dataclass(frozen=True)
class Pair:
    """A generated image and the protected work nearest to it; ``above`` says whether it is a hit.

    ``p_value`` is the share of held-out real images at least as similar to a work, counted with this one.

    ``index`` counts within the sample set ``images`` as it was handed in, ``work`` within the protected works.
    """

    images: str
    index: int
    work: int
    similarity: float
    above: bool
    p_value: float
    score: str


@dataclass(frozen=True)
class SimilaritySummary:
    """The threshold, what it was calibrated on, and both backgrounds as counts between ``edges``."""

    score: str
    images: str
    threshold: float
    false_positive_rate: float
    expected_false_alarms: float
    hits: int
    n: int
    generated: tuple[int, ...]
    held_out: tuple[int, ...]
    edges: tuple[float, ...]


@dataclass(frozen=True)
class ImageAlignment:
    """One image's cosine with its own prompt, and by how much that exceeds the nearest other prompt's."""

    score: str
    images: str
    index: int
    cosine: float
    margin: float


@dataclass(frozen=True)
class Skipped:
    """An image that was left out because it is no acceptable image: its place and name in the source, and why."""

    index: int
    name: str
    code: str
    message: str


@dataclass(frozen=True)
class Report:
    """Scores in the order of the requests, and the evidence of each, marked by the score that it belongs to.

    ``details`` holds further numbers by score name, such as ``plug_in``; ``skipped`` the images left out, by set.
    """

    scores: tuple[Score, ...]
    balance: tuple[Balance, ...] = ()
    pairs: tuple[Pair, ...] = ()
    similarities: tuple[SimilaritySummary, ...] = ()
    alignments: tuple[ImageAlignment, ...] = ()
    details: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    skipped: Mapping[str, tuple[Skipped, ...]] = field(default_factory=dict)

    def score(self, name: str) -> Score:
        """The score of that name, ``statistic/backbone``."""
        return next(score for score in self.scores if score.name == name)
