"""The Kullback-Leibler divergence in nats of the labels' shares from a declared target.

    sum p log(p / q)          range [0, inf), lower is better, zero means that shares p equal target q

Estimand: the population's divergence. Twice n times the divergence seen follows a noncentral chi-square of labels - 1
degrees of freedom near the target (Wald, 1943). The interval holds the divergences under which what was seen is neither
too large nor too small, searched along the exponential family that leads from the target through the shares seen
(Efron, 1981); its spread is that of the family's log-ratio, so that it also holds far from the target. Simulated over
2 to 10 labels and 100 to 300 images it covers 92 to 98% of the time; less (0.89 at 100 images) where all but one in a
thousand show the same label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.intervals import LEVEL, Estimate, Interval

_FARTHEST = 64.0
"""The family's parameter (0: target, 1: the shares seen) at which nearly all weight lies on one label."""
_ROUNDING = 1e-9
_USUAL = 0.25
"""The quantile of chance alone below which a divergence counts as that quantile. Shares that happen to equal the target
do not prove that the population's do."""


def divergence(shares: Array, target: Array) -> Array:
    """The divergence of shares [..., labels] from target [labels]."""
    ratio = np.where(shares > 0, shares, 1.0) / np.where(shares > 0, target, 1.0)
    distance: Array = (shares * np.log(ratio)).sum(axis=-1)
    return distance


def divergence_estimate(counts: NDArray[np.int64], target: Array) -> Estimate:
    """The divergence of label counts [labels] from target [labels], less what chance adds, with its interval."""
    n, freedom = int(counts.sum()), len(target) - 1
    plug_in = float(divergence(counts / n, target))
    least = float(stats.chi2.ppf(_USUAL, freedom)) / (2 * n)
    family = _Family.through(counts, target)
    tail = (1 - LEVEL) / 2
    interval = Interval(family.reaching(plug_in, 1 - tail), family.reaching(max(plug_in, least), tail))
    value = float(np.clip(plug_in - freedom / (2 * n), interval.low, interval.high))
    return Estimate(value, interval, n, plug_in)


@dataclass(frozen=True, eq=False)
class _Family:
    """Shares proportional to q exp(t r), where r is the log-ratio of the shares seen to the target q."""

    target: Array
    log_ratio: Array
    n: int

    @classmethod
    def through(cls, counts: NDArray[np.int64], target: Array) -> _Family:
        """The family through the counts, half an image added to each label so that no ratio is infinite.

        Shares that equal the target lead nowhere; there it is the first label that grows or shrinks.
        """
        shares = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
        log_ratio = np.log(shares / target)
        if np.ptp(log_ratio) < _ROUNDING:
            log_ratio = np.eye(len(target))[0]
        return cls(target, log_ratio, int(counts.sum()))

    def reaching(self, seen: float, share: float) -> float:
        """The divergence of the member under which ``share`` of samples show less than ``seen``."""
        if self._below(seen, 0.0) <= share:
            return 0.0
        if self._below(seen, _FARTHEST) >= share:
            return self._member(_FARTHEST).divergence
        parameter = brentq(lambda t: self._below(seen, t) - share, 0.0, _FARTHEST, xtol=1e-6)
        return self._member(float(parameter)).divergence

    def _below(self, seen: float, parameter: float) -> float:
        """The share of samples of a member that show less than ``seen``."""
        member, freedom = self._member(parameter), len(self.target) - 1
        signal = 2 * self.n * member.divergence
        far = signal / (signal + freedom)
        scale = 1 + far * (member.spread / (2 * member.divergence) - 1) if far > 1e-9 else 1.0
        return float(stats.ncx2.cdf(2 * self.n * seen / scale, freedom, signal / scale))

    def _member(self, parameter: float) -> _Member:
        exponents = parameter * self.log_ratio
        shares = self.target * np.exp(exponents - exponents.max())
        shares = shares / shares.sum()
        ratios = np.log(np.maximum(shares, 1e-300) / self.target)
        mean = float(shares @ ratios)
        return _Member(max(mean, 0.0), float(shares @ np.square(ratios - mean)))


@dataclass(frozen=True)
class _Member:
    """A member's divergence from the target, and the variance of its log-ratio."""

    divergence: float
    spread: float
