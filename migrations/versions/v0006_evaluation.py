"""Create the tables of suites, evaluation runs and scores."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of suites, evaluation runs and scores."""
    op.create_table(
        "imp_suite",
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("added_by", sa.String(length=256), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_imp_suite")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_imp_suite_name_version")),
    )
    op.create_table(
        "imp_worker",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("host", sa.String(length=256), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imp_worker")),
    )
    op.create_table(
        "imp_evaluation",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("manifest_digest", sa.String(length=71), nullable=False),
        sa.Column("suite_name", sa.String(length=128), nullable=False),
        sa.Column("suite_digest", sa.String(length=71), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("build", sa.String(length=128), nullable=False),
        sa.Column("device", sa.String(length=128), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.String(length=256), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["suite_digest"], ["imp_suite.digest"], name=op.f("fk_imp_evaluation_suite_digest_imp_suite")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["imp_version.id"], name=op.f("fk_imp_evaluation_version_id_imp_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imp_evaluation")),
    )
    op.create_index(op.f("ix_imp_evaluation_manifest_digest"), "imp_evaluation", ["manifest_digest"], unique=False)
    op.create_index(op.f("ix_imp_evaluation_requested_at"), "imp_evaluation", ["requested_at"], unique=False)
    op.create_index(op.f("ix_imp_evaluation_status"), "imp_evaluation", ["status"], unique=False)
    op.create_index(op.f("ix_imp_evaluation_version_id"), "imp_evaluation", ["version_id"], unique=False)
    op.create_table(
        "imp_evidence",
        sa.Column("blob", sa.String(length=71), nullable=False),
        sa.Column("evaluation_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["imp_evaluation.id"], name=op.f("fk_imp_evidence_evaluation_id_imp_evaluation")
        ),
        sa.PrimaryKeyConstraint("blob", "evaluation_id", name=op.f("pk_imp_evidence")),
    )
    op.create_table(
        "imp_score",
        sa.Column("evaluation_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("ci_low", sa.Double(), nullable=False),
        sa.Column("ci_high", sa.Double(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("backbone", sa.String(length=128), nullable=False),
        sa.Column("weights_digest", sa.String(length=71), nullable=False),
        sa.Column("protocol", sa.String(length=512), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["imp_evaluation.id"], name=op.f("fk_imp_score_evaluation_id_imp_evaluation")
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "name", name=op.f("pk_imp_score")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("imp_score")
    op.drop_table("imp_evidence")
    op.drop_table("imp_evaluation")
    op.drop_table("imp_worker")
    op.drop_table("imp_suite")
