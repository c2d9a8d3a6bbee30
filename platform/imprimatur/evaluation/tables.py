"""Tables of suites, evaluation runs and scores."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from imprimatur.core.database import Base, CanonicalJson, UtcTime


class SuiteRow(Base):
    """A suite; a name and version stand for one document for ever."""

    __tablename__ = "imp_suite"
    __table_args__ = (UniqueConstraint("name", "version"),)

    digest: Mapped[str] = mapped_column(String(71), primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    version: Mapped[int]
    document: Mapped[Any] = mapped_column(CanonicalJson)
    added_by: Mapped[str] = mapped_column(String(256))
    added_at: Mapped[datetime] = mapped_column(UtcTime)


class EvaluationRow(Base):
    """A run; the row is the truth about it, and its id is the id of the job that does the work."""

    __tablename__ = "imp_evaluation"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("imp_version.id"), index=True)
    manifest_digest: Mapped[str] = mapped_column(String(71), index=True)
    suite_name: Mapped[str] = mapped_column(String(128))
    suite_digest: Mapped[str] = mapped_column(ForeignKey("imp_suite.digest"))
    seed: Mapped[int]
    status: Mapped[str] = mapped_column(String(16), index=True)
    done: Mapped[int]
    total: Mapped[int]
    build: Mapped[str] = mapped_column(String(128))
    device: Mapped[str] = mapped_column(String(128))
    seconds: Mapped[float]
    evidence: Mapped[Any] = mapped_column(CanonicalJson)
    digest: Mapped[str | None] = mapped_column(String(71))
    error: Mapped[str | None] = mapped_column(Text)
    requested_by: Mapped[str] = mapped_column(String(256))
    requested_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)
    attempts: Mapped[int]
    worker: Mapped[str] = mapped_column(String(32))


class ScoreRow(Base):
    """One score of one run, as `imprimatur_evaluators.spec.Score`."""

    __tablename__ = "imp_score"

    evaluation_id: Mapped[str] = mapped_column(ForeignKey("imp_evaluation.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    value: Mapped[float]
    ci_low: Mapped[float]
    ci_high: Mapped[float]
    n: Mapped[int]
    direction: Mapped[str] = mapped_column(String(8))
    backbone: Mapped[str] = mapped_column(String(128))
    weights_digest: Mapped[str] = mapped_column(String(71))
    protocol: Mapped[str] = mapped_column(String(512))
    seed: Mapped[int]


class EvidenceRow(Base):
    """An image in the sealed store that a run's evidence shows; no other blob is ever sent to a browser."""

    __tablename__ = "imp_evidence"

    blob: Mapped[str] = mapped_column(String(71), primary_key=True)
    evaluation_id: Mapped[str] = mapped_column(ForeignKey("imp_evaluation.id"), primary_key=True)


class WorkerRow(Base):
    """A worker and its last sign of life."""

    __tablename__ = "imp_worker"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    host: Mapped[str] = mapped_column(String(256))
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    seen_at: Mapped[datetime] = mapped_column(UtcTime)
