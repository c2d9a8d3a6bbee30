"""Fixtures of the access tests: accounts on each kind of database, and a clock that the test turns."""

from __future__ import annotations

from datetime import timedelta

import pytest

from imprimatur.access.model import Principal, Role
from imprimatur.access.service import Accounts
from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Database
from turned_clock import Hands


@pytest.fixture
def clock() -> Hands:
    """The test's clock."""
    return Hands()


@pytest.fixture
def journal(any_database: Database, clock: Hands) -> AuditLog:
    """The audit log of each kind of database in turn."""
    return AuditLog(any_database, clock)


@pytest.fixture
def accounts(journal: AuditLog, root: Principal) -> Accounts:
    """Accounts that know ana, an engineer, and bot, an application."""
    made = Accounts(journal, timedelta(hours=12))
    made.add(root, "ana", [Role.ENGINEER], "imaging")
    made.add(root, "bot", [Role.APPLICATION], "shop")
    return made
