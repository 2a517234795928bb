"""What the server's optimiser remembers between rounds."""

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A table for the memory of each task's last round, and its digest beside every round."""
    op.create_table(
        "optimiser_memory",
        sa.Column("task", sa.String(64), sa.ForeignKey("task.digest"), primary_key=True, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.add_column("round", sa.Column("memory", sa.String(64)))
