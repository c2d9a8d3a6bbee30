"""Table of policies."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from imprimatur.core.database import Base, CanonicalJson, UtcTime


class PolicyRow(Base):
    """A policy version, immutable once applied, in force once a second person approved it."""

    __tablename__ = "imp_policy"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(71), unique=True)
    environment: Mapped[str] = mapped_column(String(64), index=True)
    document: Mapped[Any] = mapped_column(CanonicalJson)
    applied_by: Mapped[str] = mapped_column(String(256))
    applied_at: Mapped[datetime] = mapped_column(UtcTime)
    approved_by: Mapped[str | None] = mapped_column(String(256))
    approved_at: Mapped[datetime | None] = mapped_column(UtcTime)
