"""Create the table of datasets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of datasets."""
    op.create_table(
        "imp_dataset",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=256), nullable=False),
        sa.Column("licence", sa.String(length=128), nullable=False),
        sa.Column("source", sa.String(length=1024), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("added_by", sa.String(length=256), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("validation", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "digest", name=op.f("pk_imp_dataset")),
    )
    op.create_index(op.f("ix_imp_dataset_added_at"), "imp_dataset", ["added_at"], unique=False)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("imp_dataset")
