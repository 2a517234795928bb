"""Mask keys of secure rounds, with the shares that their owners sealed."""

import sqlalchemy as sa
from alembic import op

revision = "r0003"
down_revision = "r0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A table of what each party prepared for each attempt."""
    op.create_table(
        "mask_key",
        sa.Column("task", sa.String(64), sa.ForeignKey("task.digest"), primary_key=True, nullable=False),
        sa.Column("attempt", sa.Integer(), primary_key=True, nullable=False),
        sa.Column("party", sa.String(40), primary_key=True, nullable=False),
        sa.Column("advertisement", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
