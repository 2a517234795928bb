"""The tables of node.sqlite, of which the logs are append-only.

Moments are microseconds since 1970 (UTC); people are roaring bitmaps of person numbers. There is no personal
identifier in this file: those are in identities.sqlite, which can be erased while the logs here still verify.
"""

from typing import TYPE_CHECKING, ClassVar

from sqlalchemy import Table, UniqueConstraint
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

VERSION = 4
"""2 added `VariateRow`, 3 `MaskRow`, `ViewRow` and the ledger's column `levels`, 4 whose a recording is."""
APPLICATION_ID = 0x50434C4E  # "PCLN"


GUARDED = 1000
"""Stands for an age in a guardian's statement: no limit of age is above it."""


class NodeTable(SQLModel, registry=registry()):
    """A table of node.sqlite; its own registry, because a coordinator's tables may live in the same process."""

    if TYPE_CHECKING:
        __table__: ClassVar[Table]


class PersonRow(NodeTable, table=True):
    """A person known here by number only; `forgotten_at` is set once and the number is never used again."""

    __tablename__ = "person"
    number: int = Field(primary_key=True)
    created_at: int
    forgotten_at: int | None = Field(default=None, index=True)


class ConsentRow(NodeTable, table=True):
    """One statement about one person and purpose; append-only, chained by hash.

    `counts_from`, `counts_until`: when it permits use, both 0 where it never does. `of_age_years`: the age that the
    person was shown to have reached (a limit, not the age), `GUARDED` for a guardian's statement. `evidence` is a
    salted hash.
    """

    __tablename__ = "consent_event"
    sequence: int = Field(primary_key=True)
    person: int = Field(foreign_key="person.number", index=True)
    purpose: str
    state: str
    actor: str
    of_age_years: int
    notice_version: str
    at: int
    recorded_at: int
    counts_from: int
    counts_until: int
    evidence: str
    previous_hash: str
    hash: str


class LedgerRow(NodeTable, table=True):
    """One charge of privacy budget; append-only, chained by hash.

    `entry` is ``reservation`` (q, σ for `people`) or ``carry`` (a returning person's earlier spend, `curve`). `levels`
    are those of shared noise, null for a node's own; no row had the column before version 3.
    """

    __tablename__ = "reservation"
    __table_args__ = (UniqueConstraint("task", "attempt", "step"),)
    number: int = Field(primary_key=True)
    entry: str
    task: str | None
    attempt: int | None
    step: str | None
    sampling_rate: float | None
    noise_multiplier: float | None
    curve: str | None
    people: bytes
    at: int
    previous_hash: str
    hash: str = Field(unique=True)
    levels: int | None = None


class AnswerRow(NodeTable, table=True):
    """An answer as it was sent; `blob` is dropped once later attempts were answered, the row never."""

    __tablename__ = "answer"
    task: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    blob: bytes | None
    at: int


class ActivityRow(NodeTable, table=True):
    """One processing of people's rows, for the record of processing activities; append-only, never leaves the node.

    `consent_sequence`: how far the log of consent had grown when it happened.
    """

    __tablename__ = "processing_activity"
    number: int = Field(primary_key=True)
    task: str = Field(index=True)
    round: int
    attempt: int
    kind: str
    purpose: str
    snapshot: str
    consent_sequence: int
    people: bytes
    at: int


class VariateRow(NodeTable, table=True):
    """This party's control variate after a round of a SCAFFOLD task: float64, made from the rows of `people`."""

    __tablename__ = "control_variate"
    task: str = Field(primary_key=True)
    round: int = Field(primary_key=True)
    vector: bytes
    people: bytes
    purpose: str
    expires_at: int


class MaskRow(NodeTable, table=True):
    """This party's secrets for an attempt of a secure round; empty once they masked an update.

    `own_shares`: those that it dealt itself. `seal_keys`: to which the others' were sealed. `context`: of what the
    secrets masked, None until then. `roster`: the mask keys of who takes part. `survivors`: the one list of them that
    this node bore out.
    """

    __tablename__ = "mask"
    task: str = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    mask_seed: bytes
    self_seed: bytes
    own_shares: bytes
    seal_keys: str
    context: bytes | None = None
    roster: str = "[]"
    survivors: str | None = None


class ViewRow(NodeTable, table=True):
    """The model of a task as it came last, all weights in float32, from which differences go on."""

    __tablename__ = "view"
    task: str = Field(primary_key=True)
    vector: bytes
    expires_at: int


class AcceptedRow(NodeTable, table=True):
    """A task that this node's owner accepted, as signed by the others."""

    __tablename__ = "accepted_task"
    digest: str = Field(primary_key=True)
    signed_json: str
    accepted_at: int
    left_at: int | None = None


class NonceRow(NodeTable, table=True):
    """A nonce that was seen; forgotten a day after its message expired."""

    __tablename__ = "nonce"
    nonce: str = Field(primary_key=True)
    expires_at: int = Field(index=True)


class DatasetRow(NodeTable, table=True):
    """One import: a file under data/ with the people whose rows it holds."""

    __tablename__ = "dataset"
    number: int = Field(primary_key=True)
    workload: str = Field(index=True)
    file: str = Field(unique=True)
    rows: int
    people: bytes
    sha256: str
    held_out: bool
    at: int


class RecordingRow(NodeTable, table=True):
    """The content of one imported recording, by hash, so that it is not imported twice.

    `person`: whose it is; null where a file of several people counts as one recording, and in rows before version 4.
    """

    __tablename__ = "recording"
    workload: str = Field(primary_key=True)
    sha256: str = Field(primary_key=True)
    dataset: int = Field(foreign_key="dataset.number")
    person: int | None = None


class AuditRow(NodeTable, table=True):
    """One line of the node's audit log: canonical JSON with its Merkle leaf hash (RFC 9162); append-only."""

    __tablename__ = "audit_entry"
    number: int = Field(primary_key=True)
    at: int
    kind: str
    body: str
    leaf: str


class SettingRow(NodeTable, table=True):
    """A switch that must survive a restart, such as ``paused``."""

    __tablename__ = "setting"
    name: str = Field(primary_key=True)
    value: str


class SecretRow(NodeTable, table=True):
    """A key of this database, hexadecimal; made once."""

    __tablename__ = "secret"
    name: str = Field(primary_key=True)
    key: str


APPEND_ONLY = ("consent_event", "reservation", "processing_activity", "audit_entry")


def append_only_triggers(tables: tuple[str, ...]) -> list[str]:
    """SQL that makes the database itself refuse UPDATE and DELETE on `tables`."""
    return [
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in tables
        for verb in ("UPDATE", "DELETE")
    ]
