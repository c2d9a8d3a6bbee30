"""What a run of the demo came to, and whether everything that it promises happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imprimatur.core.errors import Fault

MODEL = "digits"
ENVIRONMENT = "production"
LOOK_ALIKES = "look-alikes"
BALANCE = "balance"


@dataclass(frozen=True)
class Outcome:
    """One version at the end of the line. ``cost`` is money by kind, in ``currency``."""

    version: int
    digest: str
    verdict: str
    reasons: tuple[str, ...]
    scores: Mapping[str, Mapping[str, float]]
    environments: tuple[str, ...]
    cost: Mapping[str, float]
    currency: str

    def document(self) -> dict[str, Any]:
        """The outcome as JSON."""
        return {
            "version": self.version,
            "digest": self.digest,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "scores": {name: dict(score) for name, score in self.scores.items()},
            "environments": list(self.environments),
            "cost": {**self.cost, "currency": self.currency},
        }


@dataclass(frozen=True)
class Refusal:
    """A way that was tried to get a version served, and how it was refused; ``status`` is the HTTP status."""

    via: str
    version: int
    status: int
    code: str
    message: str

    def document(self) -> dict[str, Any]:
        """The refusal as JSON."""
        return {
            "via": self.via,
            "version": self.version,
            "status": self.status,
            "code": self.code,
            "message": self.message,
        }


@dataclass(frozen=True)
class Result:
    """Everything that one run showed; ``seconds`` by step."""

    seed: int
    outcomes: tuple[Outcome, ...]
    refusals: tuple[Refusal, ...]
    images: tuple[str, ...]
    contact_sheet: str
    seconds: Mapping[str, float]

    def document(self) -> dict[str, Any]:
        """The result as JSON."""
        return {
            "seed": self.seed,
            "models": [outcome.document() for outcome in self.outcomes],
            "refusals": [refusal.document() for refusal in self.refusals],
            "images": list(self.images),
            "contact_sheet": self.contact_sheet,
            "seconds": dict(self.seconds),
        }

    def require_success(self) -> None:
        """Raise Fault ``demo-failed`` that lists what did not happen, if anything did not."""
        missing = [sentence for sentence, happened in self._promises() if not happened]
        if missing:
            raise Fault("demo-failed", "The demo did not show that " + "; that ".join(missing), **self.document())

    def _promises(self) -> list[tuple[str, bool]]:
        base, memoriser, skewed = self.outcomes
        standing = [outcome.environments for outcome in self.outcomes]
        ways = {refusal.via for refusal in self.refusals if refusal.version == memoriser.version}
        return [
            ("version 1 meets the policy", base.verdict == "allow"),
            (
                "version 1 alone stands in production",
                standing == [(ENVIRONMENT,), (), ()],
            ),
            ("version 2 is denied for look-alikes", memoriser.verdict == "deny" and LOOK_ALIKES in memoriser.reasons),
            ("version 3 is denied for balance", skewed.verdict == "deny" and BALANCE in skewed.reasons),
            ("version 2 is refused in every way tried", ways == {"cli", "mlflow", "gateway"}),
            ("the gateway served one image of each digit", len(self.images) == 10),
        ]
