"""Fixtures of the audit tests: a journal on each kind of database, a key, and a folder for checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Database
from imprimatur.core.keychain import KeyChain
from imprimatur.core.signing import KeyRing, SigningKey


@pytest.fixture
def journal(any_database: Database) -> AuditLog:
    """The audit log of each kind of database in turn."""
    return AuditLog(any_database)


@pytest.fixture
def chain() -> KeyChain:
    """The server's key."""
    return KeyChain(SigningKey.generate(), ())


@pytest.fixture
def keys(chain: KeyChain) -> KeyRing:
    """Whose signatures count."""
    return chain.ring


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where checkpoints go."""
    return tmp_path / "checkpoints"
