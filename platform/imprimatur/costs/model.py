"""Usage, rates and amounts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imprimatur.core.errors import BadInput

_HOUR = 3600.0


class Kind(StrEnum):
    """What the money was spent on."""

    TRAINING = "training"
    EVALUATION = "evaluation"
    SERVING = "serving"


@dataclass(frozen=True)
class Usage:
    """One entry of the ledger: ``seconds`` on ``device`` for ``kind``, priced when it was written.

    ``reference`` names what was paid for (``run:<id>``, ``evaluation:<id>``, ``served:<id>``) and makes the entry
    idempotent. ``amount`` is in ``currency``; ``images`` is 0 where none were made.
    """

    reference: str
    at: datetime
    kind: Kind
    team: str
    model: str
    version: int | None
    device: str
    seconds: float
    images: int
    amount: float
    currency: str


@dataclass(frozen=True)
class Rates:
    """What an hour of each kind of machine costs, in the one currency of this installation.

    >>> Rates(0.2, 2.5, "EUR").amount("cpu", 1800), Rates(0.2, 2.5, "EUR").amount("cuda:0", 1800)
    (0.1, 1.25)
    """

    cpu_hour: float
    gpu_hour: float
    currency: str

    def amount(self, device: str, seconds: float) -> float:
        """The price of ``seconds`` on ``device``; whatever is not called ``cpu...`` is a GPU, which costs more."""
        rate = self.cpu_hour if device.lower().startswith("cpu") else self.gpu_hour
        return rate * seconds / _HOUR


@dataclass(frozen=True)
class Total:
    """What one model cost for one kind of work; amounts of different currencies are never added."""

    model: str
    kind: Kind
    amount: float
    currency: str
    seconds: float
    images: int


def check_usage(reference: str, seconds: float, images: int) -> None:
    """Raise BadInput ``bad-usage`` unless the usage has a reference, and finite amounts of at least 0."""
    if not reference or not math.isfinite(seconds) or seconds < 0 or images < 0:
        raise BadInput(
            "bad-usage",
            f"Usage {reference!r} of {seconds} seconds and {images} images can't be written down "
            "(expected a reference, finite seconds and images of at least 0)",
        )
