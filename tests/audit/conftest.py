"""Fixtures of the audit tests: a journal on each kind of database, a key, and a folder for checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Database
from imprimatur.core.signing import KeyRing, SigningKey


@pytest.fixture
def journal(any_database: Database) -> AuditLog:
    """The audit log of each kind of database in turn."""
    return AuditLog(any_database)


@pytest.fixture
def key() -> SigningKey:
    """The server's key."""
    return SigningKey.generate()


@pytest.fixture
def keys(key: SigningKey) -> KeyRing:
    """Whose signatures count."""
    return KeyRing([key.public])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where checkpoints go."""
    return tmp_path / "checkpoints"
