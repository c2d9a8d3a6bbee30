"""Table of the ledger."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from imprimatur.core.database import Base, UtcTime


class UsageRow(Base):
    """One entry; ``reference`` is what was paid for, once."""

    __tablename__ = "imp_usage"
    __table_args__ = (Index(None, "model", "version", "kind"),)

    reference: Mapped[str] = mapped_column(String(256), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    kind: Mapped[str] = mapped_column(String(16))
    team: Mapped[str] = mapped_column(String(256))
    model: Mapped[str] = mapped_column(String(256))
    version: Mapped[int | None]
    device: Mapped[str] = mapped_column(String(128))
    seconds: Mapped[float]
    images: Mapped[int]
    amount: Mapped[float]
    currency: Mapped[str] = mapped_column(String(3))
