"""Which button of a review page works for whom, and what a button that does not work says."""

from __future__ import annotations

from dataclasses import dataclass

from imprimatur.access.model import Action, Principal
from imprimatur.policy.model import Verdict
from imprimatur.release.model import Answer
from imprimatur.reports.model import Brief
from imprimatur.reports.words import VERDICTS, listed, moment, needed

_DONE = {Answer.APPROVE: "approved", Answer.REJECT: "rejected"}


@dataclass(frozen=True)
class Button:
    """A button; ``why_not`` is empty where it works."""

    why_not: str = ""

    @property
    def works(self) -> bool:
        """Whether the button can be pressed."""
        return not self.why_not


@dataclass(frozen=True)
class Buttons:
    """What the reader of a review page can do."""

    approve: Button
    reject: Button
    promote: Button
    decide: Button


def buttons_for(caller: Principal, brief: Brief) -> Buttons:
    """The buttons of a version's review page for ``caller``. The rooms behind them check all of this again."""
    answering = _why_no_answer(caller, brief)
    approving = answering or _why_no_approval(brief)
    return Buttons(
        approve=Button(approving),
        reject=Button(answering),
        promote=Button(_why_no_promotion(caller, brief)),
        decide=Button(_why_no_decision(caller, brief)),
    )


def _why_no_answer(caller: Principal, brief: Brief) -> str:
    if brief.decision is None or brief.policy is None:
        return "There is no decision to answer yet: the policy has to be asked first."
    if brief.submission is not None and brief.submission.submitted_by == caller.name:
        return "You submitted this version. Somebody else has to answer: four eyes, admins included."
    if brief.version.registered_by == caller.name:
        return "You registered this version. Somebody else has to answer: four eyes, admins included."
    if caller.name in brief.authors:
        return "You put this version forward before. Somebody else has to answer: four eyes, admins included."
    asked = sorted({block.role for block in brief.policy.approvals})
    if not caller.may(Action.APPROVE) or not set(asked) & set(caller.roles):
        return f"The policy asks for a {listed(asked)}. Your roles: {listed(sorted(caller.roles)) or 'none'}."
    if brief.stale:
        return f"The decision does not apply any more: {listed(brief.stale)}. Ask the policy again."
    mine = [approval for approval in brief.approvals if approval.person == caller.name]
    if mine:
        return f"You {_DONE[mine[-1].answer]} this decision on {moment(mine[-1].at)}."
    return ""


def _why_no_approval(brief: Brief) -> str:
    decision = brief.decision
    if decision is not None and decision.verdict is not Verdict.ALLOW:
        return f"The verdict is “{VERDICTS[decision.verdict]}”, so an approval could release nothing."
    return ""


def _why_no_promotion(caller: Principal, brief: Brief) -> str:
    decision = brief.decision
    if decision is None:
        return "There is no decision yet: the policy has to be asked first."
    if decision.environment in brief.environments:
        return f"This version stands in {decision.environment} already."
    if decision.verdict is not Verdict.ALLOW:
        return f"The verdict is “{VERDICTS[decision.verdict]}”. Only a version that meets policy is released."
    if brief.stale:
        return f"The decision does not apply any more: {listed(brief.stale)}. Ask the policy again."
    if brief.rejection is not None:
        return f"{brief.rejection.person} rejected it: {brief.rejection.reason}"
    if brief.missing:
        return needed(brief.missing)
    if not caller.may(Action.PROMOTE):
        return f"Only an engineer or an operator can promote. Your roles: {listed(sorted(caller.roles)) or 'none'}."
    return ""


def _why_no_decision(caller: Principal, brief: Brief) -> str:
    if brief.submission is None:
        return "The version is not submitted for a use yet, and a decision is about a use."
    if brief.evaluation is None:
        return "No evaluation is complete yet, and a decision rests on one."
    if brief.decision is not None and not brief.stale:
        return "The newest decision still applies."
    if not caller.may(Action.DECIDE):
        return f"Your roles do not allow it: {listed(sorted(caller.roles)) or 'none'}."
    return ""
