"""Principals, roles and the permission table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from imprimatur.core.errors import Forbidden


class Role(StrEnum):
    """What somebody is trusted with. A principal may hold several."""

    ENGINEER = "engineer"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    APPLICATION = "application"


class Action(StrEnum):
    """What can be done. ``PERMISSIONS`` says by whom."""

    READ = "read"
    TRACK = "track"  # MLflow's runs, artifacts and unprotected registry calls
    REGISTER = "register"
    SUBMIT = "submit"
    EVALUATE = "evaluate"
    ADD_DATASET = "add-dataset"
    WRITE_POLICY = "write-policy"
    APPROVE_POLICY = "approve-policy"
    DECIDE = "decide"
    APPROVE = "approve"
    PROMOTE = "promote"
    ROLL_BACK = "roll-back"
    REVOKE = "revoke"
    MANAGE_ACCESS = "manage-access"
    GENERATE = "generate"


_EVERYONE = frozenset({Role.ENGINEER, Role.REVIEWER, Role.OPERATOR, Role.ADMIN})
_MAKERS = frozenset({Role.ENGINEER, Role.ADMIN})
_REVIEWERS = frozenset({Role.REVIEWER, Role.ADMIN})
_RUNNERS = frozenset({Role.ENGINEER, Role.OPERATOR, Role.ADMIN})

PERMISSIONS: dict[Action, frozenset[Role]] = {
    Action.READ: _EVERYONE,
    Action.TRACK: _EVERYONE,
    Action.REGISTER: _MAKERS,
    Action.SUBMIT: _MAKERS,
    Action.EVALUATE: _EVERYONE,
    Action.ADD_DATASET: _MAKERS | _REVIEWERS,
    Action.WRITE_POLICY: _REVIEWERS,
    Action.APPROVE_POLICY: _REVIEWERS,
    Action.DECIDE: _EVERYONE,
    Action.APPROVE: _REVIEWERS,
    Action.PROMOTE: _RUNNERS,
    Action.ROLL_BACK: _RUNNERS,
    Action.REVOKE: frozenset({Role.REVIEWER, Role.OPERATOR, Role.ADMIN}),
    Action.MANAGE_ACCESS: frozenset({Role.ADMIN}),
    Action.GENERATE: frozenset({Role.APPLICATION, Role.ADMIN}),
}


@dataclass(frozen=True)
class Principal:
    """Somebody who acts: a person or a program."""

    name: str
    roles: frozenset[Role]
    team: str

    def may(self, action: Action) -> bool:
        """Whether one of the principal's roles allows ``action``."""
        return bool(self.roles & PERMISSIONS[action])

    def require(self, action: Action) -> None:
        """Raise Forbidden ``not-permitted`` unless the principal may take ``action``."""
        if not self.may(action):
            raise Forbidden(
                "not-permitted",
                f"{self.name} may not {action.value} (has roles {_names(self.roles)}, "
                f"expected one of {_names(PERMISSIONS[action])}); ask an admin for the role",
            )


SYSTEM = Principal("imprimatur", frozenset(), "platform")
"""The platform itself, as the actor of what no person asked for."""


def _names(roles: frozenset[Role]) -> str:
    return ", ".join(sorted(roles)) or "none"
