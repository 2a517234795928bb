"""The coordinator's database: parties, tasks, attempts, committed rounds, scores, releases, audit log."""

from server.store.open import ServerStore, memory_store, open_store, open_url, without_password
from server.store.parties import InvitationRefused
from server.store.records import (
    Attempt,
    AuditEntry,
    EvaluationRecord,
    Invited,
    Party,
    PartyRound,
    ReleaseRecord,
    RoundRecord,
    RoundRow,
    StoredModel,
    Task,
    TaskState,
    Traffic,
)

__all__ = [
    "Attempt",
    "AuditEntry",
    "EvaluationRecord",
    "InvitationRefused",
    "Invited",
    "Party",
    "PartyRound",
    "ReleaseRecord",
    "RoundRecord",
    "RoundRow",
    "ServerStore",
    "StoredModel",
    "Task",
    "TaskState",
    "Traffic",
    "memory_store",
    "open_store",
    "open_url",
    "without_password",
]
