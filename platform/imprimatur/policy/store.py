"""Every query of policies."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache

from sqlalchemy import select
from sqlalchemy.orm import Session

from imprimatur.policy.document import policy_of
from imprimatur.policy.model import Policy, PolicyRecord
from imprimatur.policy.tables import PolicyRow

_REMEMBERED = 256


def add(session: Session, policy: Policy, *, by: str, at: datetime) -> None:
    """Store a new policy that nobody approved yet."""
    session.add(
        PolicyRow(
            name=policy.name,
            version=policy.version,
            digest=policy.digest,
            environment=policy.environment,
            document=policy.document,
            applied_by=by,
            applied_at=at,
            approved_by=None,
            approved_at=None,
        )
    )
    session.flush()


def record_of(session: Session, name: str, version: int) -> PolicyRecord | None:
    """One policy version."""
    row = session.get(PolicyRow, (name, version))
    return _record(row) if row else None


def approve(session: Session, name: str, version: int, *, by: str, at: datetime) -> None:
    """Note who approved a policy version, and when."""
    row = session.get_one(PolicyRow, (name, version))
    row.approved_by = by
    row.approved_at = at
    session.flush()


def active(session: Session, environment: str) -> Policy | None:
    """The policy in force: the one that was approved last for the environment."""
    query = (
        select(PolicyRow)
        .where(PolicyRow.environment == environment, PolicyRow.approved_at.is_not(None))
        .order_by(PolicyRow.approved_at.desc(), PolicyRow.version.desc())
        .limit(1)
    )
    row = session.scalars(query).first()
    return _policy(row) if row else None


def records(session: Session, *, name: str | None = None, limit: int = 100) -> list[PolicyRecord]:
    """Policy versions, the last applied first."""
    query = select(PolicyRow).order_by(PolicyRow.applied_at.desc(), PolicyRow.version.desc()).limit(limit)
    if name is not None:
        query = query.where(PolicyRow.name == name)
    return [_record(row) for row in session.scalars(query)]


def _record(row: PolicyRow) -> PolicyRecord:
    return PolicyRecord(_policy(row), row.applied_by, row.applied_at, row.approved_by, row.approved_at)


def _policy(row: PolicyRow) -> Policy:
    """The policy that the row's document states; the same text is read once, whatever row it stands in."""
    return _stated(json.dumps(row.document))


@lru_cache(maxsize=_REMEMBERED)
def _stated(text: str) -> Policy:
    return policy_of(json.loads(text))
