"""Create the tables of runs and versions that were imported from another MLflow."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision: str | None = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of imported runs and versions."""
    op.create_table(
        "imp_imported_run",
        sa.Column("source", sa.String(length=512), nullable=False),
        sa.Column("source_run", sa.String(length=128), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("imported_by", sa.String(length=256), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "source_run", name=op.f("pk_imp_imported_run")),
    )
    op.create_table(
        "imp_imported_version",
        sa.Column("key", sa.String(length=71), nullable=False),
        sa.Column("source", sa.String(length=512), nullable=False),
        sa.Column("source_model", sa.String(length=256), nullable=False),
        sa.Column("source_version", sa.Integer(), nullable=False),
        sa.Column("source_created_at", sa.BigInteger(), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("stage", sa.String(length=64), nullable=False),
        sa.Column("aliases", sa.Text(), nullable=False),
        sa.Column("mark", sa.String(length=64), nullable=False),
        sa.Column("imported_by", sa.String(length=256), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["imp_version.id"], name=op.f("fk_imp_imported_version_version_id_imp_version")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_imp_imported_version")),
        sa.UniqueConstraint("version_id", name=op.f("uq_imp_imported_version_version_id")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("imp_imported_version")
    op.drop_table("imp_imported_run")
