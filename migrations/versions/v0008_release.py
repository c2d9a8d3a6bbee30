"""Create the tables of decisions, approvals, releases and revocations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of decisions, approvals, releases and revocations."""
    op.create_table(
        "imp_revocation",
        sa.Column("manifest_digest", sa.String(length=71), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("revoked_by", sa.String(length=256), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("manifest_digest", name=op.f("pk_imp_revocation")),
    )
    op.create_table(
        "imp_decision",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("submission_id", sa.String(length=32), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("manifest_digest", sa.String(length=71), nullable=False),
        sa.Column("use_digest", sa.String(length=71), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("policy_name", sa.String(length=128), nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("policy_digest", sa.String(length=71), nullable=False),
        sa.Column("evaluation_id", sa.String(length=32), nullable=False),
        sa.Column("evaluation_digest", sa.String(length=71), nullable=False),
        sa.Column("build", sa.String(length=128), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("results", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.String(length=256), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["imp_evaluation.id"], name=op.f("fk_imp_decision_evaluation_id_imp_evaluation")
        ),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["imp_submission.id"], name=op.f("fk_imp_decision_submission_id_imp_submission")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["imp_version.id"], name=op.f("fk_imp_decision_version_id_imp_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imp_decision")),
        sa.UniqueConstraint("digest", name=op.f("uq_imp_decision_digest")),
    )
    op.create_index(op.f("ix_imp_decision_decided_at"), "imp_decision", ["decided_at"], unique=False)
    op.create_index(op.f("ix_imp_decision_manifest_digest"), "imp_decision", ["manifest_digest"], unique=False)
    op.create_index(op.f("ix_imp_decision_version_id"), "imp_decision", ["version_id"], unique=False)
    op.create_table(
        "imp_approval",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("decision_id", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=256), nullable=False),
        sa.Column("answer", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("conditions", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["imp_decision.id"], name=op.f("fk_imp_approval_decision_id_imp_decision")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imp_approval")),
    )
    op.create_index(
        op.f("ix_imp_approval_decision_id_role_person"), "imp_approval", ["decision_id", "role", "person"], unique=True
    )
    op.create_table(
        "imp_release",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("decision_id", sa.String(length=32), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("manifest_digest", sa.String(length=71), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("released_by", sa.String(length=256), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["imp_decision.id"], name=op.f("fk_imp_release_decision_id_imp_decision")
        ),
        sa.ForeignKeyConstraint(["version_id"], ["imp_version.id"], name=op.f("fk_imp_release_version_id_imp_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imp_release")),
    )
    op.create_index(op.f("ix_imp_release_manifest_digest"), "imp_release", ["manifest_digest"], unique=False)
    op.create_index(op.f("ix_imp_release_released_at"), "imp_release", ["released_at"], unique=False)
    op.create_index(op.f("ix_imp_release_version_id"), "imp_release", ["version_id"], unique=False)
    op.create_index(
        "uq_imp_release_active",
        "imp_release",
        ["model", "environment"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("imp_release")
    op.drop_table("imp_approval")
    op.drop_table("imp_decision")
    op.drop_table("imp_revocation")
