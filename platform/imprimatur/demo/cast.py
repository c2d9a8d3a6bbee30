"""The people of the demo, and the tokens they work with."""

from __future__ import annotations

from dataclasses import dataclass

from imprimatur.access.model import Principal, Role
from imprimatur.access.service import Accounts

_PEOPLE = (
    ("ana", Role.ENGINEER, "imaging"),
    ("ben", Role.REVIEWER, "compliance"),
    ("carla", Role.REVIEWER, "compliance"),
    ("arithmetic-game", Role.APPLICATION, "storefront"),
)


@dataclass(frozen=True)
class Cast:
    """Tokens: Ana builds models, Ben reviews them, Carla reviews what Ben writes, the game calls the gateway."""

    ana: str
    ben: str
    carla: str
    game: str


def hire(accounts: Accounts, admin: Principal) -> Cast:
    """Add the people of the demo and give each a token."""
    tokens = []
    for name, role, team in _PEOPLE:
        accounts.add(admin, name, {role}, team)
        tokens.append(accounts.issue_token(admin, name, "demo"))
    return Cast(*tokens)
