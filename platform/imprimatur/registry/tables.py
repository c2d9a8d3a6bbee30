"""Tables of versions, submissions, holds and imports, beside MLflow's own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from imprimatur.core.database import Base, CanonicalJson, UtcTime

_LIVE = text("removed_at IS NULL")


class VersionRow(Base):
    """A version as we know it; at most one living row for each model and number."""

    __tablename__ = "imp_version"
    __table_args__ = (
        Index("uq_imp_version_live", "model", "version", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    model: Mapped[str] = mapped_column(String(256))
    version: Mapped[int]
    run_id: Mapped[str | None] = mapped_column(String(32))
    source: Mapped[str] = mapped_column(String(1024))
    team: Mapped[str] = mapped_column(String(256))
    registered_by: Mapped[str] = mapped_column(String(256))
    registered_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    manifest_digest: Mapped[str | None] = mapped_column(String(71), index=True)
    sealed_by: Mapped[str | None] = mapped_column(String(256))
    sealed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    lineage: Mapped[Any] = mapped_column(CanonicalJson)
    removed_at: Mapped[datetime | None] = mapped_column(UtcTime)


class SubmissionRow(Base):
    """A version put forward for a use."""

    __tablename__ = "imp_submission"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("imp_version.id"), index=True)
    manifest_digest: Mapped[str] = mapped_column(String(71), index=True)
    use: Mapped[Any] = mapped_column(CanonicalJson)
    use_digest: Mapped[str] = mapped_column(String(71))
    submitted_by: Mapped[str] = mapped_column(String(256))
    submitted_at: Mapped[datetime] = mapped_column(UtcTime, index=True)


class HoldRow(Base):
    """A version that may not be changed, deleted or renamed away, because an environment holds it.

    The registry knows no releases: ``release`` places and lifts holds.
    """

    __tablename__ = "imp_hold"

    version_id: Mapped[str] = mapped_column(ForeignKey("imp_version.id"), primary_key=True)
    environment: Mapped[str] = mapped_column(String(64), primary_key=True)
    placed_at: Mapped[datetime] = mapped_column(UtcTime)


class ImportedRunRow(Base):
    """A run that was taken over from another MLflow, so that it is taken once."""

    __tablename__ = "imp_imported_run"

    source: Mapped[str] = mapped_column(String(512), primary_key=True)
    source_run: Mapped[str] = mapped_column(String(128), primary_key=True)
    run_id: Mapped[str] = mapped_column(String(32))
    imported_by: Mapped[str] = mapped_column(String(256))
    imported_at: Mapped[datetime] = mapped_column(UtcTime)


class ImportedVersionRow(Base):
    """Where an imported version came from, and what it was there; nothing that a release could rest on.

    ``key`` is the digest of the four columns after it, so that one version of a source comes in once.
    """

    __tablename__ = "imp_imported_version"

    key: Mapped[str] = mapped_column(String(71), primary_key=True)
    source: Mapped[str] = mapped_column(String(512))
    source_model: Mapped[str] = mapped_column(String(256))
    source_version: Mapped[int]
    source_created_at: Mapped[int] = mapped_column(BigInteger)
    version_id: Mapped[str] = mapped_column(ForeignKey("imp_version.id"), unique=True)
    stage: Mapped[str] = mapped_column(String(64))
    aliases: Mapped[Any] = mapped_column(CanonicalJson)
    mark: Mapped[str] = mapped_column(String(64))
    imported_by: Mapped[str] = mapped_column(String(256))
    imported_at: Mapped[datetime] = mapped_column(UtcTime)
