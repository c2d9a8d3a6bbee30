"""Policies come into force by two people, never change, and every refusal is on record."""

from __future__ import annotations

import pytest

from imprimatur.access.model import Principal, Role
from imprimatur.audit.service import AuditLog
from imprimatur.core.errors import BadInput, Conflict, Forbidden, NotFound, Refused
from imprimatur.policy.engine import Engine
from imprimatur.policy.service import Policies

CHO = Principal("cho", frozenset({Role.REVIEWER}), "compliance")


@pytest.fixture
def policies(log: AuditLog, engine: Engine) -> Policies:
    return Policies(log, engine)


def actions(log: AuditLog) -> list[str]:
    return [event.action for event in log.recent()]


def test_a_policy_is_in_force_once_a_second_person_approves(
    policies: Policies, log: AuditLog, ben: Principal, small: str
) -> None:
    policies.apply(ben, small)
    with pytest.raises(Refused) as caught:
        policies.active("production")
    assert caught.value.code == "no-active-policy"
    policies.approve(CHO, "small", 1)
    assert policies.active("production") == policies.get("small", 1)
    assert actions(log) == ["policy.approved", "policy.applied"]


def test_the_policy_approved_last_is_in_force(policies: Policies, ben: Principal, small: str) -> None:
    for version in (1, 2):
        policies.apply(ben, small.replace("version: 1}", f"version: {version}}}"))
        policies.approve(CHO, "small", version)
    assert policies.active("production").version == 2
    assert [record.policy.version for record in policies.records()] == [2, 1]


@pytest.mark.parametrize("roles", [{Role.REVIEWER}, {Role.ADMIN}, {Role.ADMIN, Role.REVIEWER}], ids=str)
def test_nobody_approves_an_own_policy(policies: Policies, log: AuditLog, small: str, roles: set[Role]) -> None:
    author = Principal("dora", frozenset(roles), "compliance")
    policies.apply(author, small)
    with pytest.raises(Refused) as caught:
        policies.approve(author, "small", 1)
    assert caught.value.code == "own-approval"
    assert policies.record("small", 1).approved_by is None
    assert actions(log) == ["policy.approve.refused", "policy.applied"]


def test_the_same_document_again_changes_nothing(policies: Policies, log: AuditLog, ben: Principal, small: str) -> None:
    assert policies.apply(ben, small) == policies.apply(CHO, small)
    assert actions(log) == ["policy.applied"]
    assert policies.record("small", 1).applied_by == "ben"


def test_another_document_under_the_same_version_is_refused(
    policies: Policies, log: AuditLog, ben: Principal, small: str
) -> None:
    known = policies.apply(ben, small)
    with pytest.raises(Conflict) as caught:
        policies.apply(ben, small.replace("0.02", "0.03"))
    assert caught.value.code == "policy-exists"
    assert policies.get("small", 1) == known
    assert actions(log) == ["policy.apply.refused", "policy.applied"]


def test_a_policy_whose_tests_fail_is_not_stored(policies: Policies, log: AuditLog, ben: Principal, small: str) -> None:
    with pytest.raises(BadInput) as caught:
        policies.apply(ben, small.replace("set: {}", "set: {eval.images: 1}"))
    assert caught.value.code == "bad-policy"
    assert policies.records() == []
    assert actions(log) == ["policy.apply.refused"]


def test_who_may_not_is_refused_on_record(policies: Policies, log: AuditLog, ana: Principal, small: str) -> None:
    with pytest.raises(Forbidden):
        policies.apply(ana, small)
    with pytest.raises(Forbidden):
        policies.approve(ana, "small", 1)
    assert actions(log) == ["policy.approve.refused", "policy.apply.refused"]


def test_a_second_approval_and_an_unknown_policy_are_refused(policies: Policies, ben: Principal, small: str) -> None:
    policies.apply(ben, small)
    policies.approve(CHO, "small", 1)
    with pytest.raises(Conflict) as caught:
        policies.approve(CHO, "small", 1)
    assert caught.value.code == "already-approved"
    with pytest.raises(NotFound):
        policies.approve(CHO, "small", 2)
    with pytest.raises(NotFound):
        policies.get("other", 1)
