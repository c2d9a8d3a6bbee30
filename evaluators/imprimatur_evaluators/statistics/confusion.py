"""How often a classifier reads one label for another, measured, and what the labels' true shares then are.

    shares read = R' shares        R [labels, labels + 1]: row by row what is read where a label is true, last nothing

Solved for the shares by maximum likelihood (expectation maximisation, which stays within shares), as for a
misclassified multinomial (Tenenbein, 1970). The measured matrix is a sample too: its rows are drawn anew with the
counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.statistics.disparity import total_variation
from imprimatur_evaluators.statistics.intervals import Estimate, basic

Counts = NDArray[np.int64]
LEAST_SEPARATION = 0.2
"""The smallest singular value of R without its last column below which labels can't be told apart."""
_STEPS = 300


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often [labels, labels + 1] each label was read where a label was true; the last column counts none."""

    counts: Counts

    @classmethod
    def of(cls, true: Sequence[int], read: Sequence[int], labels: int) -> Confusion:
        """From the true label of each held-out image and the one read, -1 where none could be told.

        BadRequest 'no-labels' where a label is not among the true ones.
        """
        counts = np.zeros((labels, labels + 1), dtype=np.int64)
        np.add.at(counts, (np.asarray(true), np.where(np.asarray(read) < 0, labels, read)), 1)
        return cls(counts)

    def __post_init__(self) -> None:
        shape = self.counts.shape
        if len(shape) != 2 or shape[1] != shape[0] + 1 or np.any(self.counts.sum(axis=1) < 1):
            raise BadRequest(
                "bad-confusion",
                f"a confusion matrix counts each of n labels in a row of n + 1 reads, none empty (got {list(shape)})",
            )
        if self.separation < LEAST_SEPARATION:
            raise BadRequest(
                "labels-confused",
                f"the classifier does not tell the labels apart (separation {self.separation:.2f}, expected at least "
                f"{LEAST_SEPARATION}); take another classifier or other captions",
            )

    @property
    def rates(self) -> Array:
        """What is read [labels, labels + 1] where each label is true, as shares of its row."""
        rates: Array = self.counts / self.counts.sum(axis=1, keepdims=True)
        return rates

    @property
    def separation(self) -> float:
        """The smallest singular value of the rates of labels read: 1 for a perfect reader, 0 where two are one."""
        return float(np.linalg.svd(self.rates[:, :-1], compute_uv=False)[-1])


def corrected_shares(read: Any, confusion: Confusion) -> Array:
    """The likeliest true shares [labels] behind counts read [labels + 1], the last of which counts what none was told.

    >>> sure = Confusion(np.array([[90, 10, 0], [20, 80, 0]]))
    >>> corrected_shares([62, 38, 0], sure).round(3).tolist()
    [0.6, 0.4]
    """
    shares: Array = _shares(np.asarray(read, dtype=np.float64)[None], confusion.rates[None])[0]
    return shares


def corrected_disparity(read: Any, confusion: Confusion, target: Array, *, seed: int, draws: int = 500) -> Estimate:
    """The total variation of the true shares from ``target`` [labels]; estimand: that of the generator's true shares.

    Counts and confusion matrix are both drawn anew, ``draws`` times; basic bootstrap, the value corrected for the bias
    that it sees. ``n`` counts all images, those that nothing could be told of among them.
    """
    counts = np.asarray(read, dtype=np.int64)
    if counts.shape != (len(target) + 1,) or counts.sum() < 1:
        raise BadRequest("bad-counts", f"expected a count for each of {len(target)} labels and one for none")
    rng = np.random.default_rng(seed)
    plug_in = float(total_variation(corrected_shares(counts, confusion), target))
    again = rng.multinomial(counts.sum(), counts / counts.sum(), size=draws).astype(np.float64)
    rows = [rng.multinomial(row.sum(), row / row.sum(), size=draws) / row.sum() for row in confusion.counts]
    spread = total_variation(_shares(again, np.stack(rows, axis=1)), target)
    value = max(2 * plug_in - float(spread.mean()), 0.0)
    interval = basic(plug_in, spread).clipped(0.0, 1.0)
    return Estimate(float(np.clip(value, interval.low, interval.high)), interval, int(counts.sum()), plug_in)


def _shares(read: Array, rates: Array) -> Array:
    """Maximum likelihood shares [b, labels] for counts [b, labels + 1] and rates [b, labels, labels + 1]."""
    labels = rates.shape[1]
    seen = read / read.sum(axis=1, keepdims=True)
    shares = np.full((len(read), labels), 1 / labels)
    for _ in range(_STEPS):
        expected = np.maximum(np.einsum("bl,blr->br", shares, rates), np.finfo(np.float64).tiny)
        shares = shares * np.einsum("blr,br->bl", rates, seen / expected)
    normal: Array = shares / shares.sum(axis=1, keepdims=True)
    return normal
