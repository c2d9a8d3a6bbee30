"""The rules of release: pure functions over what was decided, what is true now, and who said what."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from imprimatur.access.model import Principal
from imprimatur.core.digests import Digest, short
from imprimatur.core.errors import Conflict, Forbidden, NotFound, Refused
from imprimatur.policy.model import Policy, Verdict
from imprimatur.registry.model import Submission, Version
from imprimatur.release.model import Answer, Approval, Decision, End, Release, Revocation

NOTHING = "none"
"""What a caller expects to replace where nothing stands in the environment yet."""


@dataclass(frozen=True)
class Standing:
    """What is true of a version and an environment now."""

    environment: str
    version: Version
    manifest: Digest
    submission: Submission
    policy: Policy
    evaluation: Digest | None

    @property
    def authors(self) -> frozenset[str]:
        """Who registered the version or put it forward, and so can't approve it."""
        return frozenset({self.version.registered_by, self.submission.submitted_by})


def require_not_revoked(revocation: Revocation | None, label: str) -> None:
    """Raise Refused ``revoked`` where the bytes were revoked."""
    if revocation is not None:
        raise Refused(
            "revoked",
            f"{label} was revoked by {revocation.revoked_by} ({revocation.reason}); nothing may serve these bytes "
            f"{short(revocation.manifest_digest)} any more, so train and register a new version",
        )


def changes(decision: Decision, now: Standing) -> list[str]:
    """What changed since ``decision``, in words; empty where it still applies."""
    compared = (
        ("the version's files", decision.manifest_digest, now.manifest),
        ("the declared use", decision.use_digest, now.submission.use.digest),
        ("the policy in force", decision.policy_digest, now.policy.digest),
        ("the evaluation", decision.evaluation_digest, now.evaluation),
        ("the environment", decision.environment, now.environment),
        ("the version behind that number", decision.version_id, now.version.id),
        ("the version's name", decision.label, now.version.label),
    )
    return [what for what, then, today in compared if then != today]


def require_current(decision: Decision | None, now: Standing) -> Decision:
    """``decision`` where it still applies. Raises Refused ``no-decision`` or ``stale-decision``."""
    label = now.version.label
    if decision is None:
        raise Refused(
            "no-decision",
            f"Nobody asked the policy about {label} for {now.environment} yet (expected a decision); "
            f"run `imprimatur decide {label} --to {now.environment}`",
        )
    changed = changes(decision, now)
    if changed:
        raise Refused(
            "stale-decision",
            f"Decision {decision.id} on {label} does not apply any more: {', '.join(changed)} changed since (expected "
            f"what was decided on); run `imprimatur decide {label} --to {now.environment}`",
            changed=changed,
        )
    return decision


def require_allowed(decision: Decision) -> None:
    """Raise Refused ``verdict-deny`` or ``verdict-undecided`` with the rules that did not hold."""
    if decision.verdict is Verdict.ALLOW:
        return
    opening = "does not meet" if decision.verdict is Verdict.DENY else "cannot be decided by"
    open_results = [result for result in decision.results if result.verdict is not Verdict.ALLOW]
    told = "; ".join(result.message.rstrip(".") for result in open_results) or "the policy has no rules"
    raise Refused(
        f"verdict-{decision.verdict.value}",
        f"{decision.label} {opening} policy {decision.policy}: {told}",
        reasons=list(decision.reasons),
        decision=decision.id,
    )


def require_answers(
    decision: Decision, policy: Policy, approvals: Sequence[Approval], authors: Collection[str]
) -> None:
    """Raise Refused ``rejected`` where somebody rejected, ``approval-missing`` where not all needed people approved."""
    for approval in approvals:
        if approval.answer is Answer.REJECT:
            raise Refused(
                "rejected",
                f"{approval.person} rejected {decision.label} as {approval.role}: {approval.reason} (expected no "
                "rejection); change what was found and have it decided anew",
                decision=decision.id,
            )
    lacking = missing_approvals(policy, approvals, authors)
    if lacking:
        raise Refused(
            "approval-missing",
            f"{decision.label} meets policy {decision.policy}, but lacks {' and '.join(lacking)}; "
            f"somebody who did not submit it can run `imprimatur approve {decision.id} --reason ...`",
            missing=lacking,
            decision=decision.id,
        )


def missing_approvals(policy: Policy, approvals: Sequence[Approval], authors: Collection[str]) -> list[str]:
    """Who must still approve, in words such as ``1 approval by a reviewer``. The authors' own count for nothing."""
    lacking = []
    for block in policy.approvals:
        people = {a.person for a in approvals if a.role == block.role and a.answer is Answer.APPROVE}
        needed = block.count - len(people - set(authors))
        if needed > 0:
            article = "an" if block.role[0] in "aeiou" else "a"
            plural = needed > 1
            who = f"{block.role}s" if plural else f"{article} {block.role}"
            lacking.append(f"{needed} approval{'s' if plural else ''} by {who}")
    return lacking


def role_to_answer_in(actor: Principal, policy: Policy, approvals: Sequence[Approval]) -> str:
    """The role that ``actor`` answers in: one that the policy asks for, first one that still lacks people.

    Raises Forbidden ``role-not-asked`` where the policy asks for none of the actor's roles.
    """
    asked = [block.role for block in policy.approvals if block.role in actor.roles]
    if not asked:
        raise Forbidden(
            "role-not-asked",
            f"Policy {policy.label} asks for {', '.join(block.role for block in policy.approvals)} (got {actor.name} "
            f"as {', '.join(sorted(actor.roles))}); have somebody with that role answer",
        )
    lacking = [
        block.role
        for block in policy.approvals
        if block.role in asked and sum(a.role == block.role for a in approvals) < block.count
    ]
    return (lacking or asked)[0]


def require_other_person(actor: Principal, authors: Collection[str], label: str) -> None:
    """Raise Refused ``own-approval`` where ``actor`` registered or submitted the version, whatever their roles."""
    if actor.name in authors:
        raise Refused(
            "own-approval",
            f"{actor.name} registered or submitted {label} and can't answer for it too (expected a second person)",
        )


def require_expected(current: Release | None, expected: str | None, model: str, environment: str) -> None:
    """Raise Conflict ``release-moved`` where something else stands in the environment than the caller expects."""
    found = current.id if current else NOTHING
    if expected is not None and expected != found:
        raise Conflict(
            "release-moved",
            f"{model} in {environment} is {f'{current.label} ({found})' if current else 'nothing'} by now (expected "
            f"{expected}); look at `imprimatur history {model}` and try again",
            current=found,
        )


def require_new(current: Release | None, decision: Decision) -> None:
    """Raise Conflict ``already-released`` where that very decision put the version there already."""
    if current is not None and current.decision_id == decision.id:
        raise Conflict(
            "already-released",
            f"{current.label} stands in {current.environment} already by decision {decision.id}, since "
            f"{current.released_at:%Y-%m-%d %H:%M} UTC",
            release=current.id,
        )


def release_before(history: Sequence[Release]) -> Release | None:
    """The release to go back to, out of all releases of one environment, oldest first.

    What was rolled back or revoked is not gone back to; a rollback stands where the release that it restored stood.
    """
    stack: list[Release] = []
    for release in history:
        _drop_gone(stack)
        if stack and stack[-1].manifest_digest == release.manifest_digest:
            stack.pop()
        stack.append(release)
    _drop_gone(stack)
    if stack and stack[-1].ended_at is None:
        stack.pop()
    return stack[-1] if stack else None


def _drop_gone(stack: list[Release]) -> None:
    while stack and (stack[-1].ended_as(End.ROLLED_BACK) or stack[-1].ended_as(End.REVOKED)):
        stack.pop()


def require_environment(environment: str, known: Sequence[str]) -> None:
    """Raise NotFound ``unknown-environment`` where nothing can be released to ``environment``."""
    if environment not in known:
        raise NotFound(
            "unknown-environment", f"There is no environment {environment!r} (expected one of {', '.join(known)})"
        )
