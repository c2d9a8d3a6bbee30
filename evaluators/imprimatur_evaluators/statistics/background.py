"""What the similarity of held-out real images to the protected works says about generated ones.

The background is kept whole, so that every number that rests on it can be computed again: the threshold, the share of
reals at least as similar as a hit, what chance alone would show, and the percentiles beside those of the generator.

Source of the percentiles: Somepalli et al. (2023), "Diffusion Art or Digital Forgery?".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, log
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from imprimatur_evaluators.errors import BadRequest, require_count
from imprimatur_evaluators.statistics.arrays import Array, Indices, as_array
from imprimatur_evaluators.statistics.intervals import LEVEL, Estimate, Interval, binomial_share
from imprimatur_evaluators.statistics.similarity import Threshold, calibrate, calibration_rank, share_above

HALF = 0.5
"""The similarity above which Somepalli et al. count an image as a replication."""
_NEGLIGIBLE = 1e-15


@dataclass(frozen=True)
class Background:
    """The similarities of held-out real images to their nearest work, sorted."""

    similarities: tuple[float, ...]

    @classmethod
    def of(cls, held_out: Any) -> Background:
        """The background of held-out similarities [n], n >= 1, in any order."""
        values = as_array(held_out)
        require_count("a background", values.size, 1)
        if values.ndim != 1 or not np.isfinite(values).all():
            raise BadRequest("bad-features", f"a background is finite numbers [n] (got shape {list(values.shape)})")
        return cls(tuple(np.sort(values).tolist()))

    @property
    def n(self) -> int:
        """How many held-out images it rests on."""
        return len(self.similarities)

    def threshold(self, false_positive_rate: float) -> Threshold:
        """The threshold that a new real image exceeds with probability at most the rate."""
        return calibrate(self.similarities, false_positive_rate)

    def share_at_least(self, similarity: float) -> float:
        """The share of the held-out images that are at least as similar."""
        return float(self.n - np.searchsorted(self.similarities, similarity, side="left")) / self.n

    def p_value(self, similarity: float) -> float:
        """How surprising such a similarity is in a real image: (1 + held-out at least as similar) / (1 + n).

        For a new real image it is at most a with probability at most a, whatever the distribution (Vovk et al., 2005);
        it is at most the declared rate exactly where the similarity is above the threshold.

        >>> Background.of([0.1, 0.2, 0.3]).p_value(0.25)
        0.5
        """
        return (1 + self.n - int(np.searchsorted(self.similarities, similarity, side="left"))) / (1 + self.n)

    def document(self) -> dict[str, Any]:
        """The background as JSON."""
        return {"n": self.n, "similarities": list(self.similarities)}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Background:
        """The background that ``document`` states; BadRequest 'bad-background' where it contradicts itself."""
        found = cls(tuple(float(value) for value in document["similarities"]))
        if document["n"] != found.n or not found.n or np.any(np.diff(found.similarities) < 0):
            raise BadRequest(
                "bad-background",
                f"the background says {document['n']} similarities in rising order (got {found.n}); calibrate again",
            )
        return found


@dataclass(frozen=True)
class FalseAlarms:
    """How many of ``n`` images chance alone puts above the threshold, how many are, and how surprising that is."""

    expected: float
    hits: int
    n: int
    p_value: float


def false_alarms(similarities: Any, threshold: Threshold) -> FalseAlarms:
    """The exact test whether more images [n] are hits than if they were real images like the held-out ones.

    Conditional on nothing: that the threshold is itself an order statistic of a sample is part of it. The hits of
    exchangeable images are then beta-binomial, whatever the distribution, so that the test errs at most at its level.

    >>> false_alarms([0.0] * 195 + [1.0] * 5, Threshold(0.9, 0.01, 597)).expected
    1.6722408026755853
    """
    found = as_array(similarities)
    above = threshold.n + 1 - calibration_rank(threshold.n, threshold.false_positive_rate)
    hits, n = int((found > threshold.value).sum()), len(found)
    chance = stats.betabinom(n, above, threshold.n + 1 - above)
    return FalseAlarms(n * above / (threshold.n + 1), hits, n, float(chance.sf(hits - 1)))


def share_at_rate(similarities: Any, background: Background, false_positive_rate: float) -> Estimate:
    """The share of images [n] more similar to a work than all but a declared share of real images; lower is better.

    Estimand: the share of all images of this generator above the similarity that the declared share of *all* real
    images exceeds. The interval carries the sampling of both sides. How many held-out images lie below that
    similarity is binomial, which says how likely it lies between which two of them; the share above each of those
    has Jeffreys' distribution (Brown, Cai and DasGupta, 2001), and the ends are quantiles of the mixture.
    """
    found = as_array(similarities)
    plug_in = share_above(found, background.threshold(false_positive_rate)).value
    hits, weights = _hits_by_position(found, background, false_positive_rate)
    n, tail = len(found), (1 - LEVEL) / 2

    def below(share: float) -> float:
        return float(special.betainc(hits + 0.5, n - hits + 0.5, share) @ weights)

    low = 0.0 if weights[hits == 0].sum() >= tail else _root(lambda share: below(share) - tail)
    high = 1.0 if weights[hits == n].sum() >= tail else _root(lambda share: below(share) - (1 - tail))
    return Estimate(plug_in, Interval(min(low, plug_in), max(high, plug_in)), n, plug_in)


def _hits_by_position(images: Array, background: Background, rate: float) -> tuple[Indices, Array]:
    """How many images lie above the true threshold, and how likely: half each above either held-out beside it."""
    n, real = len(images), np.asarray(background.similarities)
    chance = stats.binom.pmf(np.arange(background.n + 1), background.n, 1 - rate)
    above = n - np.searchsorted(np.sort(images), real, side="right")
    weights = np.bincount(np.append(above, 0), chance / 2, n + 1) + np.bincount(
        np.insert(above, 0, n), chance / 2, n + 1
    )
    hits = np.flatnonzero(weights > _NEGLIGIBLE)
    return hits, weights[hits] / weights[hits].sum()


def _root(function: Callable[[float], float]) -> float:
    return float(optimize.brentq(function, 0.0, 1.0, xtol=1e-12))


@dataclass(frozen=True)
class Percentiles:
    """The 75th, 90th and 95th percentile of similarities, each with its interval."""

    p75: Estimate
    p90: Estimate
    p95: Estimate


@dataclass(frozen=True)
class Replication:
    """What Somepalli et al. report: the share of generated images above 0.5, and both sides' percentiles."""

    share_above_half: Estimate
    generated: Percentiles
    real: Percentiles


def replication(generated: Any, background: Background) -> Replication:
    """The report on similarities [n] of generated images beside those of real ones; lower is better, range [-1, 1]."""
    found = as_array(generated)
    return Replication(share_above(found, HALF), _percentiles(found), _percentiles(np.asarray(background.similarities)))


def quantile(values: Any, share: float) -> Estimate:
    """The value below which a ``share`` of values [n] lies, with its order-statistic interval.

    Estimand: the population's quantile. The interval lies between two order statistics and is right for every
    distribution (Thompson, 1936). Raises TooFew below ``quantile_needs(share)``.
    """
    ordered = np.sort(as_array(values))
    n, tail = len(ordered), (1 - LEVEL) / 2
    require_count(f"the interval of the {share:.0%} quantile", n, quantile_needs(share))
    low = int(stats.binom.ppf(tail, n, share))
    high = int(stats.binom.isf(tail, n, share)) + 1
    value = float(np.quantile(ordered, share))
    return Estimate(value, Interval(float(ordered[low - 1]), float(ordered[high - 1])), n, value)


def quantile_needs(share: float) -> int:
    """How many values the interval of a quantile needs, so that it lies between two of them.

    >>> quantile_needs(0.95)
    72
    """
    return ceil(log((1 - LEVEL) / 2) / log(max(share, 1 - share)))


def false_positive_rate(held_out: Background, threshold: float) -> Estimate:
    """The rate at which real images exceed a published threshold, measured; estimand: that of all real images."""
    hits = sum(value > threshold for value in held_out.similarities)
    return binomial_share(hits, held_out.n)


def _percentiles(values: Array) -> Percentiles:
    return Percentiles(quantile(values, 0.75), quantile(values, 0.90), quantile(values, 0.95))
