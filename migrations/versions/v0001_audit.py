"""Create the tables of the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of the audit log."""
    op.create_table(
        "imp_audit_event",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=256), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=512), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_imp_audit_event")),
    )
    op.create_index(op.f("ix_imp_audit_event_action"), "imp_audit_event", ["action"], unique=False)
    op.create_index(op.f("ix_imp_audit_event_actor"), "imp_audit_event", ["actor"], unique=False)
    op.create_index(op.f("ix_imp_audit_event_at"), "imp_audit_event", ["at"], unique=False)
    op.create_index(op.f("ix_imp_audit_event_subject"), "imp_audit_event", ["subject"], unique=False)
    op.create_table(
        "imp_audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imp_audit_head")),
    )
    head = sa.table("imp_audit_head", sa.column("id"), sa.column("size"), sa.column("frontier"))
    op.bulk_insert(head, [{"id": 1, "size": 0, "frontier": b""}])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("imp_audit_head")
    op.drop_table("imp_audit_event")
