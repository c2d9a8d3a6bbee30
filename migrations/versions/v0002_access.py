"""Create the tables of principals, tokens and sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of principals, tokens and sessions."""
    op.create_table(
        "imp_principal",
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("team", sa.String(length=256), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_imp_principal")),
    )
    op.create_table(
        "imp_session",
        sa.Column("hash", sa.String(length=71), nullable=False),
        sa.Column("principal", sa.String(length=256), nullable=False),
        sa.Column("csrf", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["principal"], ["imp_principal.name"], name=op.f("fk_imp_session_principal_imp_principal")
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_imp_session")),
    )
    op.create_index(op.f("ix_imp_session_principal"), "imp_session", ["principal"], unique=False)
    op.create_table(
        "imp_token",
        sa.Column("hash", sa.String(length=71), nullable=False),
        sa.Column("principal", sa.String(length=256), nullable=False),
        sa.Column("label", sa.String(length=256), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["principal"], ["imp_principal.name"], name=op.f("fk_imp_token_principal_imp_principal")
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_imp_token")),
    )
    op.create_index(op.f("ix_imp_token_principal"), "imp_token", ["principal"], unique=False)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("imp_token")
    op.drop_table("imp_session")
    op.drop_table("imp_principal")
