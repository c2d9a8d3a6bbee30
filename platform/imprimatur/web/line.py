"""The models page: every model with its versions and where each stands in the line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imprimatur.registry.model import Stage
from imprimatur.release.model import Release
from imprimatur.reports.model import Brief
from imprimatur.reports.words import listed

STAGES = tuple(Stage)


@dataclass(frozen=True)
class ModelCard:
    """One model: its newest versions, newest first, and what stands where."""

    name: str
    versions: tuple[Brief, ...]
    releases: tuple[Release, ...]


def steps_done(stage: Stage) -> int:
    """How many of the line's steps a version has behind it, the present one included.

    >>> steps_done(Stage.REGISTERED), steps_done(Stage.RELEASED)
    (1, 6)
    """
    return STAGES.index(stage) + 1


def card(name: str, briefs: Sequence[Brief], releases: Sequence[Release]) -> ModelCard:
    """A model's card from the briefs of its newest versions."""
    standing = sorted((r for r in releases if r.model == name), key=lambda release: release.environment)
    return ModelCard(name, tuple(briefs), tuple(standing))


def waiting_for(brief: Brief) -> str:
    """What happens next to the version, as one plain phrase; empty where nothing is open."""
    match brief.stage:
        case Stage.REGISTERED:
            return "waits to be sealed"
        case Stage.SEALED:
            return "waits to be submitted for a use"
        case Stage.SUBMITTED:
            run = brief.latest_run
            return "is being evaluated" if run is not None and run.is_open else "waits for an evaluation"
        case Stage.EVALUATED:
            return "waits to be submitted for a use" if brief.submission is None else "waits for a decision"
        case Stage.DECIDED:
            return "" if brief.decision is None else _after_decision(brief)
        case Stage.RELEASED:
            return ""


def _after_decision(brief: Brief) -> str:
    if brief.decision is None or brief.decision.reasons:
        return ""
    if brief.rejection is not None:
        return f"rejected by {brief.rejection.person}"
    if brief.stale:
        return "waits for a new decision"
    return f"waits for {listed(brief.missing) or 'promotion'}"
