"""Tables of decisions, approvals, releases and revocations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from imprimatur.core.database import Base, CanonicalJson, UtcTime

_ACTIVE = text("ended_at IS NULL")


class DecisionRow(Base):
    """A decision with its signed envelope."""

    __tablename__ = "imp_decision"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    submission_id: Mapped[str] = mapped_column(ForeignKey("imp_submission.id"))
    version_id: Mapped[str] = mapped_column(ForeignKey("imp_version.id"), index=True)
    model: Mapped[str] = mapped_column(String(256))
    version: Mapped[int]
    manifest_digest: Mapped[str] = mapped_column(String(71), index=True)
    use_digest: Mapped[str] = mapped_column(String(71))
    environment: Mapped[str] = mapped_column(String(64))
    policy_name: Mapped[str] = mapped_column(String(128))
    policy_version: Mapped[int]
    policy_digest: Mapped[str] = mapped_column(String(71))
    evaluation_id: Mapped[str] = mapped_column(ForeignKey("imp_evaluation.id"))
    evaluation_digest: Mapped[str] = mapped_column(String(71))
    build: Mapped[str] = mapped_column(String(128))
    verdict: Mapped[str] = mapped_column(String(16))
    results: Mapped[Any] = mapped_column(CanonicalJson)
    facts: Mapped[Any] = mapped_column(CanonicalJson)
    decided_by: Mapped[str] = mapped_column(String(256))
    decided_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    digest: Mapped[str] = mapped_column(String(71), unique=True)
    envelope: Mapped[Any] = mapped_column(CanonicalJson)


class ApprovalRow(Base):
    """One reviewer's answer; a person answers a decision once in a role."""

    __tablename__ = "imp_approval"
    __table_args__ = (Index(None, "decision_id", "role", "person", unique=True),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    decision_id: Mapped[str] = mapped_column(ForeignKey("imp_decision.id"))
    role: Mapped[str] = mapped_column(String(32))
    person: Mapped[str] = mapped_column(String(256))
    answer: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    conditions: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcTime)


class ReleaseRow(Base):
    """What stands where; at most one active release for a model and environment."""

    __tablename__ = "imp_release"
    __table_args__ = (
        Index(
            "uq_imp_release_active",
            "model",
            "environment",
            unique=True,
            sqlite_where=_ACTIVE,
            postgresql_where=_ACTIVE,
        ),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    decision_id: Mapped[str] = mapped_column(ForeignKey("imp_decision.id"))
    version_id: Mapped[str] = mapped_column(ForeignKey("imp_version.id"), index=True)
    model: Mapped[str] = mapped_column(String(256))
    version: Mapped[int]
    manifest_digest: Mapped[str] = mapped_column(String(71), index=True)
    environment: Mapped[str] = mapped_column(String(64))
    released_by: Mapped[str] = mapped_column(String(256))
    released_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)
    ended_reason: Mapped[str | None] = mapped_column(Text)


class RevocationRow(Base):
    """A manifest that nothing may serve any more."""

    __tablename__ = "imp_revocation"

    manifest_digest: Mapped[str] = mapped_column(String(71), primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    revoked_by: Mapped[str] = mapped_column(String(256))
    revoked_at: Mapped[datetime] = mapped_column(UtcTime)
