"""Bytes of questions that are open: what was sent before a crash is counted, too."""

import sqlalchemy as sa
from alembic import op

revision = "r0005"
down_revision = "r0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A table of what went to and came from each party in an attempt that is open."""
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "on_the_way",
        sa.Column("task", sa.String(64), sa.ForeignKey("task.digest"), primary_key=True, nullable=False),
        sa.Column("kind", sa.String(20), primary_key=True, nullable=False),
        sa.Column("attempt", sa.Integer(), primary_key=True, nullable=False),
        sa.Column("party", sa.String(40), primary_key=True, nullable=False),
        sa.Column("bytes_up", big, nullable=False),
        sa.Column("bytes_down", big, nullable=False),
    )
