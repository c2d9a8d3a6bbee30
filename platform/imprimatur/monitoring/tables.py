"""Tables of what was served, how it scored, and how far the spool was read."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, String, Text
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


class ServedImageRow(Base):
    """One served image, as a gateway's spool recorded it, and how well it matched its prompt once it was re-scored.

    The prompt is kept only where the image is: both are what the score rests on. ``fault`` says why a kept image can't
    be scored.
    """

    __tablename__ = "imp_served_image"
    __table_args__ = (Index(None, "manifest_digest", "environment", "at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    model: Mapped[str] = mapped_column(String(256))
    version: Mapped[int]
    manifest_digest: Mapped[str] = mapped_column(String(71))
    environment: Mapped[str] = mapped_column(String(64))
    prompt: Mapped[str | None] = mapped_column(Text)
    image: Mapped[str | None] = mapped_column(String(256))
    waiting: Mapped[bool] = mapped_column(index=True)
    backbone: Mapped[str | None] = mapped_column(String(128))
    weights_digest: Mapped[str | None] = mapped_column(String(71))
    cosine: Mapped[float | None]
    margin: Mapped[float | None]
    fault: Mapped[str | None] = mapped_column(String(256))


class SpoolFileRow(Base):
    """How far one file of a spool was read: up to the byte before ``position``."""

    __tablename__ = "imp_spool_file"

    name: Mapped[str] = mapped_column(String(256), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)
