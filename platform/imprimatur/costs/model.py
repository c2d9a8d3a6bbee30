"""Usage, rates and amounts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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
