"""What parties did, found by round: every round adds up its own bytes."""

from alembic import op

revision = "r0004"
down_revision = "r0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """An index over task and round instead of the task alone."""
    op.create_index("ix_party_round_task_round", "party_round", ["task", "round"])
    op.drop_index("ix_party_round_task", table_name="party_round")
