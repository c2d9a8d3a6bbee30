"""Principals, roles and the permission table."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from imprimatur.core.errors import BadInput, Forbidden


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
    TRACK = "track"  # MLflow's runs and unprotected registry calls
    REGISTER = "register"  # models and versions, and the artifacts that they are made of
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


class Purpose(StrEnum):
    """What a token opens: the API until it expires, or one browser session once."""

    API = "api"
    LOGIN = "login"


@dataclass(frozen=True)
class Credential:
    """A token as the database knows it: its hash, whose it is and what for."""

    hash: str
    principal: Principal
    purpose: Purpose
    expires_at: datetime


@dataclass(frozen=True)
class Session:
    """A browser that is logged in. ``csrf`` goes into forms as a second sign that our page sent them."""

    cookie: str
    csrf: str
    principal: Principal
    expires_at: datetime


class Client(NamedTuple):
    """A program that a gateway may serve, by the hash of its token."""

    hash: str
    name: str
    team: str


_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,127}")


def new_principal(name: str, roles: Collection[Role], team: str) -> Principal:
    """A principal with a name that can't be mistaken for another's.

    Raises BadInput ``bad-principal`` where the name is not made of lower-case ASCII letters, digits and ``._@+-``, is
    the platform's own, or there is no role or team.
    """
    if _NAME.fullmatch(name) is None or name == SYSTEM.name:
        raise BadInput(
            "bad-principal",
            f"{name!r} can't be a name (expected at most 128 lower-case ASCII letters, digits and ._@+-, "
            f"starting with a letter or digit, and not {SYSTEM.name!r})",
        )
    if not roles or not team.strip() or len(team) > 256:
        raise BadInput(
            "bad-principal",
            f"{name} needs at least one role and a team (got roles {_names(frozenset(roles))}, team {team!r})",
        )
    return Principal(name, frozenset(roles), team.strip())


def _names(roles: frozenset[Role]) -> str:
    return ", ".join(sorted(roles)) or "none"
