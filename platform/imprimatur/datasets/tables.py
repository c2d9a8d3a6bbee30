"""Table of datasets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from imprimatur.core.database import Base, CanonicalJson, UtcTime


class DatasetRow(Base):
    """A dataset; the same bytes may be added under one name once. The newest row of a name is the one in use."""

    __tablename__ = "imp_dataset"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    digest: Mapped[str] = mapped_column(String(71), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    owner: Mapped[str] = mapped_column(String(256))
    licence: Mapped[str] = mapped_column(String(128))
    source: Mapped[str] = mapped_column(String(1024))
    rows: Mapped[int]
    added_by: Mapped[str] = mapped_column(String(256))
    added_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    validation: Mapped[Any] = mapped_column(CanonicalJson)
