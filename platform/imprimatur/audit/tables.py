"""Tables of the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from imprimatur.core.database import Base, CanonicalJson, UtcTime


class EventRow(Base):
    """One event with the hash that it stands for in the tree; ``position`` counts from 0 without gaps."""

    __tablename__ = "imp_audit_event"

    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    actor: Mapped[str] = mapped_column(String(256), index=True)
    action: Mapped[str] = mapped_column(String(64), index=True)
    subject: Mapped[str] = mapped_column(String(512), index=True)
    detail: Mapped[Any] = mapped_column(CanonicalJson)
    leaf: Mapped[bytes] = mapped_column(LargeBinary(32))


class HeadRow(Base):
    """The single row that every append locks: size of the tree and its frontier (concatenated 32-byte hashes)."""

    __tablename__ = "imp_audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int]
    frontier: Mapped[bytes] = mapped_column(LargeBinary)
