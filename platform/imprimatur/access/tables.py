"""Tables of principals, their tokens and their browser sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from imprimatur.core.database import Base, CanonicalJson, UtcTime


class PrincipalRow(Base):
    """A person or a program, with its roles as a sorted JSON list."""

    __tablename__ = "imp_principal"

    name: Mapped[str] = mapped_column(String(256), primary_key=True)
    team: Mapped[str] = mapped_column(String(256))
    roles: Mapped[Any] = mapped_column(CanonicalJson)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcTime)


class TokenRow(Base):
    """An access token (``purpose`` api), or a one-time login link (``purpose`` login); only its SHA-256 is kept."""

    __tablename__ = "imp_token"

    hash: Mapped[str] = mapped_column(String(71), primary_key=True)
    principal: Mapped[str] = mapped_column(ForeignKey("imp_principal.name"), index=True)
    label: Mapped[str] = mapped_column(String(256))
    purpose: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)


class SessionRow(Base):
    """A browser that is logged in; only the SHA-256 of its cookie is kept."""

    __tablename__ = "imp_session"

    hash: Mapped[str] = mapped_column(String(71), primary_key=True)
    principal: Mapped[str] = mapped_column(ForeignKey("imp_principal.name"), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
