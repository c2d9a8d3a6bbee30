"""Applying, approving and finding policies."""

from __future__ import annotations

from imprimatur.access.model import Action, Principal
from imprimatur.audit.service import AuditLog
from imprimatur.core.errors import Conflict, NotFound, Refused
from imprimatur.policy import store
from imprimatur.policy.cases import CaseResult, require_passed, run_cases
from imprimatur.policy.document import parse
from imprimatur.policy.engine import Engine, shared_engine
from imprimatur.policy.model import Facts, Judgement, Policy, PolicyRecord


class Policies:
    """The policies of all environments. One comes into force when a second person approves it."""

    def __init__(self, log: AuditLog, engine: Engine | None = None) -> None:
        self._log = log
        self._engine = engine or shared_engine()

    def lint(self, text: str) -> Policy:
        """The policy in ``text``, once it is read, and every rule of it compiled. Raises BadInput ``bad-policy``."""
        policy = parse(text)
        self._engine.check(policy)
        return policy

    def test(self, text: str) -> tuple[CaseResult, ...]:
        """The results of the tests that the policy in ``text`` carries. Raises BadInput ``bad-policy``."""
        return run_cases(self._engine, self.lint(text))

    def apply(self, actor: Principal, text: str) -> Policy:
        """Store the policy in ``text``, once its tests pass. It is not in force before ``approve``.

        The same document again changes nothing. Raises BadInput ``bad-policy``, Conflict ``policy-exists`` where that
        name and version stand for another document.
        """
        policy = self._read(actor, text)
        with self._log.unit_of_work(actor.name, "policy.apply", policy.label) as unit:
            known = store.record_of(unit.session, policy.name, policy.version)
            if known is not None:
                return _same(known.policy, policy)
            store.add(unit.session, policy, by=actor.name, at=self._log.clock())
            unit.record("policy.applied", digest=policy.digest, environment=policy.environment)
        return policy

    def approve(self, actor: Principal, name: str, version: int) -> Policy:
        """Put a policy in force as a second person.

        Raises NotFound ``no-such-policy``, Refused ``own-approval``, Conflict ``already-approved``.
        """
        with self._log.unit_of_work(actor.name, "policy.approve", f"{name}/{version}") as unit:
            actor.require(Action.APPROVE_POLICY)
            record = _found(store.record_of(unit.session, name, version), name, version)
            _require_second_person(actor, record)
            store.approve(unit.session, name, version, by=actor.name, at=self._log.clock())
            policy = record.policy
            unit.record("policy.approved", digest=policy.digest, environment=policy.environment)
        return policy

    def get(self, name: str, version: int) -> Policy:
        """One policy version. Raises NotFound ``no-such-policy``."""
        return self.record(name, version).policy

    def record(self, name: str, version: int) -> PolicyRecord:
        """One policy version with who applied and approved it. Raises NotFound ``no-such-policy``."""
        with self._log.database.reading() as session:
            return _found(store.record_of(session, name, version), name, version)

    def records(self, *, name: str | None = None, limit: int = 100) -> list[PolicyRecord]:
        """Policy versions, the last applied first."""
        with self._log.database.reading() as session:
            return store.records(session, name=name, limit=limit)

    def active(self, environment: str) -> Policy:
        """The policy in force in ``environment``. Raises Refused ``no-active-policy``."""
        with self._log.database.reading() as session:
            return require_active(store.active(session, environment), environment)

    def judge(self, policy: Policy, facts: Facts) -> Judgement:
        """What ``policy`` comes to on ``facts``."""
        return self._engine.judge(policy, facts)

    def _read(self, actor: Principal, text: str) -> Policy:
        """The policy in ``text`` with its tests passed, outside any transaction: rules run, and that takes time."""
        with self._log.attempt(actor.name, "policy.apply", "policy"):
            actor.require(Action.WRITE_POLICY)
            policy = self.lint(text)
            require_passed(run_cases(self._engine, policy))
            return policy


def require_active(policy: Policy | None, environment: str) -> Policy:
    """``policy``, else Refused ``no-active-policy``."""
    if policy is None:
        raise Refused(
            "no-active-policy",
            f"No approved policy is in force in {environment} (expected one); apply one and have a second person "
            "approve it",
        )
    return policy


def _found(record: PolicyRecord | None, name: str, version: int) -> PolicyRecord:
    if record is None:
        raise NotFound("no-such-policy", f"There is no policy {name}/{version}; `imprimatur policy show` lists them")
    return record


def _same(known: Policy, applied: Policy) -> Policy:
    if known.digest != applied.digest:
        raise Conflict(
            "policy-exists",
            f"{known.label} stands for another document already (found {known.digest}, got {applied.digest}); a policy "
            f"never changes, so give this one version {known.version + 1} or later",
        )
    return known


def _require_second_person(actor: Principal, record: PolicyRecord) -> None:
    if actor.name == record.applied_by:
        raise Refused(
            "own-approval",
            f"{actor.name} applied {record.policy.label} and can't approve it too (expected a second person)",
        )
    if record.approved_by is not None:
        raise Conflict(
            "already-approved", f"{record.approved_by} approved {record.policy.label} already; it was put in force then"
        )
