"""Table of scores of what was served."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from imprimatur.core.database import Base, UtcTime


class ServedScoreRow(Base):
    """One score over the images that one manifest served in one window."""

    __tablename__ = "imp_served_score"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    model: Mapped[str] = mapped_column(String(256), index=True)
    version: Mapped[int]
    manifest_digest: Mapped[str] = mapped_column(String(71), index=True)
    environment: Mapped[str] = mapped_column(String(64))
    window_start: Mapped[datetime] = mapped_column(UtcTime)
    window_end: Mapped[datetime] = mapped_column(UtcTime)
    served: Mapped[int]
    name: Mapped[str] = mapped_column(String(128))
    value: Mapped[float]
    ci_low: Mapped[float]
    ci_high: Mapped[float]
    n: Mapped[int]
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)
