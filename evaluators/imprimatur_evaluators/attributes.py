"""What is perceived in images: one of declared labels, or nothing that can be told. No torch here.

Synthetic people have no gender, age or origin; what is read is how a network perceives them, by captions that are
declared, and only where it is sure enough. The rest is "undeterminable", counted and never spread over the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.statistics.arrays import Array, Indices, as_array

UNDETERMINABLE = -1
SCALE = 100.0
"""What cosines are multiplied by before they become probabilities: CLIP's own temperature (Radford et al., 2021)."""


@dataclass(frozen=True, eq=False)
class Reading:
    """The label [n] read in each image, its index or ``UNDETERMINABLE``, and how sure the reader is of the best."""

    label: Indices
    certainty: Array

    def counts(self, labels: int) -> Indices:
        """How often each label was read, and last how often none could be told [labels + 1]."""
        return np.bincount(np.where(self.label < 0, labels, self.label), minlength=labels + 1)


def read_captions_of(images: Any, captions: Any, *, certainty: float = 0.0, scale: float = SCALE) -> Reading:
    """The label of each image [n, d] whose caption [labels, d] is nearest, where its probability reaches ``certainty``.

    Features of unit length in a joint space; probabilities are the softmax of ``scale`` times the cosines.

    >>> read_captions_of([[1.0, 0.0], [0.7071, 0.7071]], [[1.0, 0.0], [0.0, 1.0]], certainty=0.9).label.tolist()
    [0, -1]
    """
    logits = scale * (as_array(images) @ as_array(captions).T)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return read_probabilities(odds / odds.sum(axis=1, keepdims=True), certainty=certainty)


def read_probabilities(probabilities: Any, *, certainty: float = 0.0) -> Reading:
    """The likeliest label of each image, where any classifier's probabilities [n, labels] reach ``certainty``.

    BadRequest 'bad-probabilities' where rows are no probabilities.
    """
    rows = as_array(probabilities)
    if rows.ndim != 2 or rows.shape[1] < 2 or np.any(rows < -1e-9) or not np.allclose(rows.sum(axis=1), 1, atol=1e-4):
        raise BadRequest(
            "bad-probabilities", f"a classifier gives each of two or more labels a probability (got {list(rows.shape)})"
        )
    if not 0 <= certainty <= 1:
        raise BadRequest("bad-option", f"certainty lies between 0 and 1 (got {certainty})")
    surest = rows.max(axis=1)
    return Reading(np.where(surest >= certainty, rows.argmax(axis=1), UNDETERMINABLE).astype(np.intp), surest)
