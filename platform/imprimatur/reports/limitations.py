"""What the numbers of a dossier do not say, so that nobody reads more out of them than was measured."""

from __future__ import annotations

from collections.abc import Iterator

from imprimatur.core.digests import short
from imprimatur.evaluation.model import Evaluation
from imprimatur.reports.model import Dossier
from imprimatur.reports.words import counted, listed

_PUBLISHED = frozenset({"inception-2015"})


def limitations(dossier: Dossier) -> tuple[str, ...]:
    """Sentences on what the evaluation does not cover; empty where there is none."""
    return tuple(_sentences(dossier, dossier.evaluation)) if dossier.evaluation else ()


def _sentences(dossier: Dossier, evaluation: Evaluation) -> Iterator[str]:
    heads = {score.name.partition("/")[0] for score in evaluation.scores}
    own = sorted({(s.backbone, s.weights_digest) for s in evaluation.scores if s.backbone not in _PUBLISHED})
    for backbone, weights in own:
        yield (
            f"Scores on {backbone} (weights {short(weights)}) compare only with scores on the same weights; "
            "they are neither FID nor CLIPScore, and no published number is on their scale."
        )
    yield (
        "The 95% intervals cover which images were drawn. They do not cover another training of the same model, "
        "or prompts that the suite does not hold."
    )
    if dossier.suite:
        yield (
            f"Images were made with {dossier.suite.steps} steps and guidance {dossier.suite.guidance:g}, seed "
            f"{evaluation.seed}. Other sampling settings were not measured."
        )
    if "alignment" in heads:
        yield "Prompt following tells the suite's own prompts apart; it says nothing about other wordings."
    if "disparity" in heads:
        yield "Balance counts labels that the scoring model predicts; where it errs, the shares shift."
    if "similarity" in heads:
        yield _look_alikes(dossier)


def _look_alikes(dossier: Dossier) -> str:
    sets = [use.known for use in dossier.data if use.role == "protected" and use.known is not None]
    where = listed([f"{data.name} ({counted(data.rows, 'work')})" for data in sets]) or "the protected set"
    return f"Look-alikes were sought in {where} only. A work that is not in it can't be found."
