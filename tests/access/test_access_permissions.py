"""Who may do what: every role against every action, as one table."""

from __future__ import annotations

import pytest

from imprimatur.access.model import PERMISSIONS, SYSTEM, Action, Principal, Role, new_principal
from imprimatur.core.errors import BadInput, Forbidden

_COLUMNS = (Role.ENGINEER, Role.REVIEWER, Role.OPERATOR, Role.ADMIN, Role.APPLICATION)
_TABLE = """
                engineer reviewer operator admin application
read            yes      yes      yes      yes   no
track           yes      yes      yes      yes   no
register        yes      no       no       yes   no
submit          yes      no       no       yes   no
evaluate        yes      yes      yes      yes   no
add-dataset     yes      yes      no       yes   no
write-policy    no       yes      no       yes   no
approve-policy  no       yes      no       yes   no
decide          yes      yes      yes      yes   no
approve         no       yes      no       yes   no
promote         yes      no       yes      yes   no
roll-back       yes      no       yes      yes   no
revoke          no       yes      yes      yes   no
manage-access   no       no       no       yes   no
generate        no       no       no       yes   yes
"""
_CASES = [
    (Action(name), role, answer == "yes")
    for name, *answers in (line.split() for line in _TABLE.strip().splitlines()[1:])
    for role, answer in zip(_COLUMNS, answers, strict=True)
]


def test_the_table_has_every_action_and_every_role() -> None:
    assert {(action, role) for action, role, _ in _CASES} == {(action, role) for action in Action for role in Role}
    assert set(PERMISSIONS) == set(Action)


@pytest.mark.parametrize(("action", "role", "allowed"), _CASES)
def test_a_role_may_do_what_the_table_says(action: Action, role: Role, allowed: bool) -> None:
    principal = Principal("ana", frozenset({role}), "imaging")

    assert principal.may(action) is allowed
    if not allowed:
        with pytest.raises(Forbidden) as refused:
            principal.require(action)
        assert refused.value.code == "not-permitted"
        assert role.value in refused.value.message
        assert action.value in refused.value.message


def test_roles_add_up() -> None:
    both = Principal("ana", frozenset({Role.ENGINEER, Role.REVIEWER}), "imaging")

    assert both.may(Action.SUBMIT)
    assert both.may(Action.APPROVE)
    assert not both.may(Action.MANAGE_ACCESS)


def test_the_platform_itself_may_nothing_that_a_person_must_do() -> None:
    assert [action for action in Action if SYSTEM.may(action)] == []


@pytest.mark.parametrize("name", ["ana", "ana.maria", "ana+ci@example.org", "0x", "a" * 128])
def test_a_name_is_plain(name: str) -> None:
    assert new_principal(name, [Role.ENGINEER], "imaging").name == name


@pytest.mark.parametrize(
    ("name", "roles", "team"),
    [
        ("", [Role.ENGINEER], "imaging"),
        ("Ana", [Role.ENGINEER], "imaging"),  # would pass for a second person beside ana
        ("аna", [Role.ENGINEER], "imaging"),  # noqa: RUF001  a Cyrillic letter, on purpose
        ("ana\n", [Role.ENGINEER], "imaging"),
        ("ana/1", [Role.ENGINEER], "imaging"),
        (".ana", [Role.ENGINEER], "imaging"),
        ("a" * 129, [Role.ENGINEER], "imaging"),
        ("imprimatur", [Role.ENGINEER], "imaging"),
        ("ana", [], "imaging"),
        ("ana", [Role.ENGINEER], " "),
        ("ana", [Role.ENGINEER], "x" * 257),
    ],
)
def test_what_can_not_be_a_principal_is_refused(name: str, roles: list[Role], team: str) -> None:
    with pytest.raises(BadInput) as refused:
        new_principal(name, roles, team)

    assert refused.value.code == "bad-principal"
