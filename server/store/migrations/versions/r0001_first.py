"""The first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("audit_entry", "evaluation", "model", "party_round", "round")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create all tables; rows of some can never be changed."""
    _parties()
    _tasks()
    _rounds()
    _progress()
    _forbid_changes()


def _needed(name: str, kind: Any, *more: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, nullable=False, **options)


def _text(name: str, length: int, *more: Any, **options: Any) -> sa.Column[Any]:
    return _needed(name, sa.String(length), *more, **options)


def _task_key(primary: bool = True) -> sa.Column[Any]:
    return _text("task", 64, sa.ForeignKey("task.digest"), primary_key=primary)


def _parties() -> None:
    op.create_table(
        "invitation",
        _text("secret_hash", 64, primary_key=True),
        _text("party", 40),
        _text("name", 80),
        _text("role", 40),
        _needed("created_at", sa.DateTime()),
        _needed("expires_at", sa.DateTime()),
        sa.Column("used_at", sa.DateTime()),
    )
    op.create_index("ix_invitation_party", "invitation", ["party"])
    op.create_table(
        "party",
        _text("id", 40, primary_key=True),
        _text("name", 80),
        _text("role", 40),
        _text("public_key", 64, unique=True),
        _text("fingerprint", 64, unique=True),
        _text("supernode_key", 1000, unique=True),
        _text("node_id", 20, unique=True),
        _needed("joined_at", sa.DateTime()),
        sa.Column("revoked_at", sa.DateTime()),
        sa.Column("left_at", sa.DateTime()),
    )
    op.create_table("ledger_head", _text("party", 40, primary_key=True), _text("head", 64))
    op.create_table("http_nonce", _text("nonce", 64, primary_key=True), _needed("expires_at", sa.DateTime()))
    op.create_index("ix_http_nonce_expires_at", "http_nonce", ["expires_at"])


def _tasks() -> None:
    op.create_table(
        "task",
        _text("digest", 64, primary_key=True),
        _text("name", 40, unique=True),
        _needed("manifest_json", sa.Text()),
        _text("state", 20),
        _needed("message", sa.Text()),
        sa.Column("run_id", sa.String(20)),
        _needed("created_at", sa.DateTime()),
    )
    op.create_table(
        "signature",
        _task_key(),
        _text("signer", 40, primary_key=True),
        _text("party", 40, primary_key=True),
        _needed("body", sa.Text()),
    )
    op.create_table(
        "acceptance",
        _task_key(),
        _text("party", 40, sa.ForeignKey("party.id"), primary_key=True),
        _needed("body", sa.Text()),
        _needed("accepted_at", sa.DateTime()),
    )


def _rounds() -> None:
    op.create_table(
        "attempt",
        _task_key(),
        _text("kind", 20, primary_key=True),
        _needed("number", sa.Integer(), primary_key=True),
        _needed("round", sa.Integer()),
        _text("model", 64),
        _needed("request", sa.LargeBinary()),
        _text("state", 20),
        _needed("started_at", sa.DateTime()),
        sa.Column("ended_at", sa.DateTime()),
        _needed("reasons", sa.Text()),
    )
    op.create_table("model", _text("digest", 64, primary_key=True), _needed("data", sa.LargeBinary()))
    op.create_table(
        "round",
        _task_key(),
        _needed("round", sa.Integer(), primary_key=True),
        sa.Column("attempt", sa.Integer()),
        _text("model", 64, sa.ForeignKey("model.digest")),
        _needed("parties", sa.Text()),
        _needed("shrink", sa.Float()),
        _needed("seconds", sa.Float()),
        _needed("bytes_up", BIG),
        _needed("bytes_down", BIG),
        _needed("committed_at", sa.DateTime()),
        sa.UniqueConstraint("task", "attempt"),
    )


def _progress() -> None:
    op.create_table(
        "party_round",
        _needed("id", BIG, primary_key=True),
        _task_key(primary=False),
        _text("kind", 20),
        _needed("attempt", sa.Integer()),
        _text("party", 40),
        _needed("round", sa.Integer()),
        _text("outcome", 40),
        _text("code", 200),
        _needed("bytes_up", BIG),
        _needed("bytes_down", BIG),
        _needed("seconds", sa.Float()),
        _text("snapshot", 64),
        _needed("at", sa.DateTime()),
    )
    op.create_index("ix_party_round_task", "party_round", ["task"])
    op.create_table(
        "evaluation",
        _task_key(),
        _needed("round", sa.Integer(), primary_key=True),
        _text("party", 40, primary_key=True),
        _text("disclosure", 20),
        _needed("people", BIG),
        _needed("sums", sa.Text()),
        _needed("summary", sa.Text()),
        _needed("at", sa.DateTime()),
    )
    op.create_table(
        "release",
        _task_key(),
        _needed("path", sa.Text()),
        _text("digest", 64),
        _needed("created_at", sa.DateTime()),
    )
    _log()


def _log() -> None:
    op.create_table(
        "audit_entry",
        _needed("number", BIG, primary_key=True, autoincrement=False),
        _needed("at", sa.DateTime()),
        _text("kind", 60),
        _needed("body", sa.Text()),
        _text("leaf", 64),
    )
    counter = op.create_table("counter", _text("name", 40, primary_key=True), _needed("value", BIG))
    op.bulk_insert(counter, [{"name": "audit", "value": 0}, {"name": "membership", "value": 1}])


def _forbid_changes() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute(
            "CREATE FUNCTION paceline_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME; END $$"
        )
    action = {
        "sqlite": "BEGIN SELECT RAISE(ABORT, 'rows of {0} are never changed'); END",
        "postgresql": "FOR EACH ROW EXECUTE FUNCTION paceline_append_only()",
    }.get(dialect)
    for table in APPEND_ONLY if action else ():
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} {action}".replace("{0}", table)
            )
