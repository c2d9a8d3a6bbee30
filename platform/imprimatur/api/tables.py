"""Table of answers that were given to keyed requests."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from imprimatur.core.database import Base, UtcTime


class ReplyRow(Base):
    """What one principal's ``Idempotency-Key`` stands for: the request's digest and, once given, its answer."""

    __tablename__ = "imp_reply"

    principal: Mapped[str] = mapped_column(String(256), primary_key=True)
    key: Mapped[str] = mapped_column(String(256), primary_key=True)
    request_digest: Mapped[str] = mapped_column(String(71))
    status: Mapped[int | None]
    media_type: Mapped[str | None] = mapped_column(String(128))
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)
