"""Create the table of the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of the ledger."""
    op.create_table(
        "imp_usage",
        sa.Column("reference", sa.String(length=256), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("team", sa.String(length=256), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("device", sa.String(length=128), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.PrimaryKeyConstraint("reference", name=op.f("pk_imp_usage")),
    )
    op.create_index(op.f("ix_imp_usage_at"), "imp_usage", ["at"], unique=False)
    op.create_index(op.f("ix_imp_usage_model_version_kind"), "imp_usage", ["model", "version", "kind"], unique=False)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("imp_usage")
