"""Create the table of policies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of policies."""
    op.create_table(
        "imp_policy",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("applied_by", sa.String(length=256), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_by", sa.String(length=256), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_imp_policy")),
        sa.UniqueConstraint("digest", name=op.f("uq_imp_policy_digest")),
    )
    op.create_index(op.f("ix_imp_policy_environment"), "imp_policy", ["environment"], unique=False)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("imp_policy")
