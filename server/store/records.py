"""What goes into the coordinator's store and comes out of it: frozen values, no database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from federation.errors import StoreError
from federation.ids import Fingerprint, LedgerHead, PartyId, TaskDigest
from federation.manifest import Manifest, parse
from federation.roles import Role


class TaskState(StrEnum):
    """Where a task is in its life."""

    DRAFT = "draft"
    SIGNED = "signed"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Invited:
    """An invitation; the secret itself is stored nowhere, only its hash."""

    party: PartyId
    name: str
    role: Role
    secret_hash: str = field(repr=False)
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


@dataclass(frozen=True)
class Party:
    """A party that has joined; `public_key` is its identity (64 hexadecimal digits), `node_id` is Flower's."""

    id: PartyId
    name: str
    role: Role
    public_key: str
    fingerprint: Fingerprint
    supernode_key: str
    node_id: int
    joined_at: datetime
    revoked_at: datetime | None = None
    left_at: datetime | None = None

    @property
    def active(self) -> bool:
        """Whether it may take part: neither revoked nor left."""
        return self.revoked_at is None and self.left_at is None


@dataclass(frozen=True)
class Task:
    """A task with its state; `run_id` is Flower's, once launched."""

    name: str
    digest: TaskDigest
    manifest_json: str
    state: TaskState
    created_at: datetime
    run_id: int | None = None
    message: str = ""

    def manifest(self) -> Manifest:
        """The contract; `StoreError` if the stored text does not have the stored digest any more."""
        manifest = parse(self.manifest_json)
        if manifest.digest() != self.digest:
            raise StoreError(f"task {self.name} was changed in the database: its digest is not {self.digest[:16]}….")
        return manifest


@dataclass(frozen=True)
class Attempt:
    """One request that was sent or is about to be; numbers count from 0 per task and kind."""

    task: TaskDigest
    kind: str
    number: int
    round: int
    model: str
    request: bytes = field(repr=False)
    state: str
    started_at: datetime
    ended_at: datetime | None
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class PartyRound:
    """What one party did in one attempt: `outcome` is answered, refused, late, invalid or unreachable."""

    party: PartyId
    outcome: str
    code: str = ""
    bytes_up: int = 0
    bytes_down: int = 0
    seconds: float = 0.0
    snapshot: str = ""
    round: int = 0
    attempt: int = 0
    kind: str = "train"
    at: datetime | None = None


@dataclass(frozen=True)
class Traffic:
    """What a round's questions and answers took, headers included: those of every attempt at it, and all kinds of them
    but scores. `asked` and `answered` count the questions for updates, or first weights, and those that came.
    """

    up: int = 0
    down: int = 0
    asked: int = 0
    answered: int = 0


@dataclass(frozen=True)
class RoundRecord:
    """All that one committed round changes.

    `model` are the new weights (safetensors), `memory` what the server's optimiser remembers (empty: nothing), `shrink`
    is the share of the divisor that took part.
    """

    task: TaskDigest
    round: int
    attempt: int
    model: bytes = field(repr=False)
    parties: tuple[PartyRound, ...]
    shrink: float
    seconds: float
    heads: Mapping[PartyId, LedgerHead] = field(default_factory=dict)
    memory: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class StoredModel:
    """Weights after `round` rounds, as safetensors; `digest` is the SHA-256 of `data`. `memory`: see `RoundRecord`."""

    round: int
    digest: str
    data: bytes = field(repr=False)
    memory: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class RoundRow:
    """A committed round as it reads from the store; round 0 are the first weights. Its bytes: see `Traffic`."""

    round: int
    attempt: int | None
    model: str
    parties: tuple[PartyId, ...]
    shrink: float
    seconds: float
    bytes_up: int
    bytes_down: int
    committed_at: datetime


@dataclass(frozen=True)
class EvaluationRecord:
    """Scores of one round's model at one party, as far as the party disclosed them."""

    task: TaskDigest
    round: int
    party: PartyId
    disclosure: str
    people: int
    sums: Mapping[str, float]
    summary: Mapping[str, float]
    at: datetime | None = None


@dataclass(frozen=True)
class ReleaseRecord:
    """A released model; `path` is relative to the folder of releases, `digest` is of its signed manifest of files."""

    task: TaskDigest
    path: str
    digest: str
    created_at: datetime


@dataclass(frozen=True)
class AuditEntry:
    """One line of the coordinator's log; `leaf` is the RFC 9162 leaf hash of the canonical entry."""

    number: int
    at: datetime
    kind: str
    body: str
    leaf: str
