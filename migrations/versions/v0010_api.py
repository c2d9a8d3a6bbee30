"""Create the table of answers to keyed requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of answers to keyed requests."""
    op.create_table(
        "imp_reply",
        sa.Column("principal", sa.String(length=256), nullable=False),
        sa.Column("key", sa.String(length=256), nullable=False),
        sa.Column("request_digest", sa.String(length=71), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("media_type", sa.String(length=128), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_imp_reply")),
    )
    op.create_index(op.f("ix_imp_reply_at"), "imp_reply", ["at"], unique=False)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("imp_reply")
