"""Create the table of scores of what was served."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of scores of what was served."""
    op.create_table(
        "imp_served_image",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("manifest_digest", sa.String(length=71), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=True),
        sa.Column("image", sa.String(length=256), nullable=True),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        sa.Column("backbone", sa.String(length=128), nullable=True),
        sa.Column("weights_digest", sa.String(length=71), nullable=True),
        sa.Column("cosine", sa.Double(), nullable=True),
        sa.Column("margin", sa.Double(), nullable=True),
        sa.Column("fault", sa.String(length=256), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imp_served_image")),
    )
    op.create_index(op.f("ix_imp_served_image_at"), "imp_served_image", ["at"], unique=False)
    op.create_index(
        op.f("ix_imp_served_image_manifest_digest_environment_at"),
        "imp_served_image",
        ["manifest_digest", "environment", "at"],
        unique=False,
    )
    op.create_index(op.f("ix_imp_served_image_waiting"), "imp_served_image", ["waiting"], unique=False)
    op.create_table(
        "imp_served_score",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("manifest_digest", sa.String(length=71), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("window_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("window_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("served", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("ci_low", sa.Double(), nullable=False),
        sa.Column("ci_high", sa.Double(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imp_served_score")),
    )
    op.create_index(op.f("ix_imp_served_score_at"), "imp_served_score", ["at"], unique=False)
    op.create_index(op.f("ix_imp_served_score_manifest_digest"), "imp_served_score", ["manifest_digest"], unique=False)
    op.create_index(op.f("ix_imp_served_score_model"), "imp_served_score", ["model"], unique=False)
    op.create_table(
        "imp_spool_file",
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_imp_spool_file")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("imp_spool_file")
    op.drop_table("imp_served_score")
    op.drop_table("imp_served_image")
