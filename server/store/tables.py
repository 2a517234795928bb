"""The tables of the coordinator's database."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Index, Integer, LargeBinary, Text, TypeDecorator
from sqlmodel import Field, SQLModel, UniqueConstraint

BIG_NUMBER = BigInteger().with_variant(Integer, "sqlite")


class UtcTime(TypeDecorator[datetime]):
    """An aware moment, stored as UTC without zone, so that every database keeps the same value."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else value.replace(tzinfo=UTC)


def moment(nullable: bool = False) -> Any:
    """A column of type `UtcTime`."""
    return Field(default=None, sa_type=UtcTime, nullable=nullable) if nullable else Field(sa_type=UtcTime)


class InvitationTable(SQLModel, table=True):
    """Invitations; a secret is known by its SHA-256 only."""

    __tablename__ = "invitation"
    secret_hash: str = Field(primary_key=True, max_length=64)
    party: str = Field(max_length=40, index=True)
    name: str = Field(max_length=80)
    role: str = Field(max_length=40)
    created_at: datetime = moment()
    expires_at: datetime = moment()
    used_at: datetime | None = moment(nullable=True)


class PartyTable(SQLModel, table=True):
    """Parties that joined. Flower's node numbers are unsigned 64-bit, hence text."""

    __tablename__ = "party"
    id: str = Field(primary_key=True, max_length=40)
    name: str = Field(max_length=80)
    role: str = Field(max_length=40)
    public_key: str = Field(max_length=64, unique=True)
    fingerprint: str = Field(max_length=64, unique=True)
    supernode_key: str = Field(max_length=1000, unique=True)
    node_id: str = Field(max_length=20, unique=True)
    joined_at: datetime = moment()
    revoked_at: datetime | None = moment(nullable=True)
    left_at: datetime | None = moment(nullable=True)


class TaskTable(SQLModel, table=True):
    """Tasks, by digest."""

    __tablename__ = "task"
    digest: str = Field(primary_key=True, max_length=64)
    name: str = Field(max_length=40, unique=True)
    manifest_json: str = Field(sa_type=Text)
    state: str = Field(max_length=20)
    message: str = Field(default="", sa_type=Text)
    run_id: str | None = Field(default=None, max_length=20)
    created_at: datetime = moment()


class SignatureTable(SQLModel, table=True):
    """Signatures under tasks, as `federation.signing.Signature` in JSON."""

    __tablename__ = "signature"
    task: str = Field(primary_key=True, max_length=64, foreign_key="task.digest")
    signer: str = Field(primary_key=True, max_length=40)
    party: str = Field(primary_key=True, max_length=40)
    body: str = Field(sa_type=Text)


class AcceptanceTable(SQLModel, table=True):
    """Acceptances of tasks, as `federation.signing.Acceptance` in JSON."""

    __tablename__ = "acceptance"
    task: str = Field(primary_key=True, max_length=64, foreign_key="task.digest")
    party: str = Field(primary_key=True, max_length=40, foreign_key="party.id")
    body: str = Field(sa_type=Text)
    accepted_at: datetime = moment()


class AttemptTable(SQLModel, table=True):
    """Requests that were sent or are about to be."""

    __tablename__ = "attempt"
    task: str = Field(primary_key=True, max_length=64, foreign_key="task.digest")
    kind: str = Field(primary_key=True, max_length=20)
    number: int = Field(primary_key=True)
    round: int
    model: str = Field(max_length=64)
    request: bytes = Field(sa_type=LargeBinary)
    state: str = Field(max_length=20)
    started_at: datetime = moment()
    ended_at: datetime | None = moment(nullable=True)
    reasons: str = Field(default="{}", sa_type=Text)


class ModelTable(SQLModel, table=True):
    """Weights by the SHA-256 of their bytes."""

    __tablename__ = "model"
    digest: str = Field(primary_key=True, max_length=64)
    data: bytes = Field(sa_type=LargeBinary)


class MemoryTable(SQLModel, table=True):
    """What the server's optimiser remembers after a task's last committed round; `round.memory` has its SHA-256."""

    __tablename__ = "optimiser_memory"
    task: str = Field(primary_key=True, max_length=64, foreign_key="task.digest")
    data: bytes = Field(sa_type=LargeBinary)


class MaskKeyTable(SQLModel, table=True):
    """What each party prepared for an attempt of a secure round; gone two attempts later."""

    __tablename__ = "mask_key"
    task: str = Field(primary_key=True, max_length=64, foreign_key="task.digest")
    attempt: int = Field(primary_key=True)
    party: str = Field(primary_key=True, max_length=40)
    advertisement: str = Field(sa_type=Text)
    sealed: bytes = Field(sa_type=LargeBinary)


class RoundTable(SQLModel, table=True):
    """Committed rounds; never changed."""

    __tablename__ = "round"
    task: str = Field(primary_key=True, max_length=64, foreign_key="task.digest")
    round: int = Field(primary_key=True)
    attempt: int | None = Field(default=None)
    model: str = Field(max_length=64, foreign_key="model.digest")
    memory: str | None = Field(default=None, max_length=64)
    parties: str = Field(sa_type=Text)
    shrink: float
    seconds: float
    bytes_up: int = Field(sa_type=BIG_NUMBER)
    bytes_down: int = Field(sa_type=BIG_NUMBER)
    committed_at: datetime = moment()
    __table_args__ = (UniqueConstraint("task", "attempt"),)


class PartyRoundTable(SQLModel, table=True):
    """What each party did in each attempt; never changed."""

    __tablename__ = "party_round"
    id: int | None = Field(default=None, primary_key=True, sa_type=BIG_NUMBER)
    task: str = Field(max_length=64, foreign_key="task.digest")
    kind: str = Field(max_length=20)
    attempt: int
    party: str = Field(max_length=40)
    round: int
    outcome: str = Field(max_length=40)
    code: str = Field(max_length=200)
    bytes_up: int = Field(sa_type=BIG_NUMBER)
    bytes_down: int = Field(sa_type=BIG_NUMBER)
    seconds: float
    snapshot: str = Field(max_length=64)
    at: datetime = moment()
    __table_args__ = (Index("ix_party_round_task_round", "task", "round"),)


class OnTheWayTable(SQLModel, table=True):
    """What went to each party and came from it in an attempt that is open; gone when it ends."""

    __tablename__ = "on_the_way"
    task: str = Field(primary_key=True, max_length=64, foreign_key="task.digest")
    kind: str = Field(primary_key=True, max_length=20)
    attempt: int = Field(primary_key=True)
    party: str = Field(primary_key=True, max_length=40)
    bytes_up: int = Field(sa_type=BIG_NUMBER)
    bytes_down: int = Field(sa_type=BIG_NUMBER)


class EvaluationTable(SQLModel, table=True):
    """Scores that parties disclosed; never changed."""

    __tablename__ = "evaluation"
    task: str = Field(primary_key=True, max_length=64, foreign_key="task.digest")
    round: int = Field(primary_key=True)
    party: str = Field(primary_key=True, max_length=40)
    disclosure: str = Field(max_length=20)
    people: int = Field(sa_type=BIG_NUMBER)
    sums: str = Field(sa_type=Text)
    summary: str = Field(sa_type=Text)
    at: datetime = moment()


class LedgerHeadTable(SQLModel, table=True):
    """The last head that we saw of each party's ledger."""

    __tablename__ = "ledger_head"
    party: str = Field(primary_key=True, max_length=40)
    head: str = Field(max_length=64)


class ReleaseTable(SQLModel, table=True):
    """Released models."""

    __tablename__ = "release"
    task: str = Field(primary_key=True, max_length=64, foreign_key="task.digest")
    path: str = Field(sa_type=Text)
    digest: str = Field(max_length=64)
    created_at: datetime = moment()


class HttpNonceTable(SQLModel, table=True):
    """Nonces of signed requests, until their time window has passed."""

    __tablename__ = "http_nonce"
    nonce: str = Field(primary_key=True, max_length=64)
    expires_at: datetime = Field(sa_type=UtcTime, index=True)


class AuditTable(SQLModel, table=True):
    """The log, as leaves of a Merkle tree; never changed."""

    __tablename__ = "audit_entry"
    number: int = Field(primary_key=True, sa_type=BIG_NUMBER, sa_column_kwargs={"autoincrement": False})
    at: datetime = moment()
    kind: str = Field(max_length=60)
    body: str = Field(sa_type=Text)
    leaf: str = Field(max_length=64)


class CounterTable(SQLModel, table=True):
    """Numbers that are taken in order; the row is locked while one is taken."""

    __tablename__ = "counter"
    name: str = Field(primary_key=True, max_length=40)
    value: int = Field(sa_type=BIG_NUMBER)


METADATA = SQLModel.metadata
