"""The inbox: decisions that wait for somebody's answer, the longest wait first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from imprimatur.access.model import Principal
from imprimatur.policy.model import Verdict
from imprimatur.release.model import Decision
from imprimatur.reports.model import Brief
from imprimatur.reports.requirements import verdict_sentence
from imprimatur.reports.words import listed
from imprimatur.web.answering import buttons_for


@dataclass(frozen=True)
class Waiting:
    """One decision that waits, and whether the reader can answer it."""

    brief: Brief
    decision: Decision
    sentence: str
    days: int
    why_not: str

    @property
    def needs(self) -> str:
        """Whose answers are missing, in words."""
        return listed(self.brief.missing)

    @property
    def waited(self) -> str:
        """How long the decision has waited."""
        return "since today" if self.days == 0 else "1 day" if self.days == 1 else f"{self.days} days"


def inbox(caller: Principal, briefs: Iterable[Brief], now: datetime) -> tuple[Waiting, ...]:
    """The decisions that meet policy and lack an answer, the longest wait first."""
    found = [_waiting(caller, brief, brief.decision, now) for brief in briefs if brief.decision]
    return tuple(sorted((each for each in found if each), key=lambda each: each.decision.decided_at))


def _waiting(caller: Principal, brief: Brief, decision: Decision, now: datetime) -> Waiting | None:
    settled = brief.stale or brief.rejection is not None or decision.environment in brief.environments
    if decision.verdict is not Verdict.ALLOW or settled or not brief.missing:
        return None
    days = max((now - decision.decided_at).days, 0)
    button = buttons_for(caller, brief).approve
    return Waiting(brief, decision, verdict_sentence(decision, ()), days, button.why_not)
