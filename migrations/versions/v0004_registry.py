"""Create the tables of versions, submissions and holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of versions, submissions and holds."""
    op.create_table(
        "imp_version",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=True),
        sa.Column("source", sa.String(length=1024), nullable=False),
        sa.Column("team", sa.String(length=256), nullable=False),
        sa.Column("registered_by", sa.String(length=256), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("manifest_digest", sa.String(length=71), nullable=True),
        sa.Column("sealed_by", sa.String(length=256), nullable=True),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lineage", sa.Text(), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imp_version")),
    )
    op.create_index(op.f("ix_imp_version_manifest_digest"), "imp_version", ["manifest_digest"], unique=False)
    op.create_index(op.f("ix_imp_version_registered_at"), "imp_version", ["registered_at"], unique=False)
    op.create_index(
        "uq_imp_version_live",
        "imp_version",
        ["model", "version"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "imp_hold",
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["imp_version.id"], name=op.f("fk_imp_hold_version_id_imp_version")),
        sa.PrimaryKeyConstraint("version_id", "environment", name=op.f("pk_imp_hold")),
    )
    op.create_table(
        "imp_submission",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("manifest_digest", sa.String(length=71), nullable=False),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("use_digest", sa.String(length=71), nullable=False),
        sa.Column("submitted_by", sa.String(length=256), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["imp_version.id"], name=op.f("fk_imp_submission_version_id_imp_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imp_submission")),
    )
    op.create_index(op.f("ix_imp_submission_manifest_digest"), "imp_submission", ["manifest_digest"], unique=False)
    op.create_index(op.f("ix_imp_submission_submitted_at"), "imp_submission", ["submitted_at"], unique=False)
    op.create_index(op.f("ix_imp_submission_version_id"), "imp_submission", ["version_id"], unique=False)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("imp_submission")
    op.drop_table("imp_hold")
    op.drop_table("imp_version")
