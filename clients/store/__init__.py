"""Where a node remembers: node.sqlite (logs, numbers only) beside identities.sqlite (who the numbers are)."""

from clients.store.node import NodeStore, open_store
from clients.store.records import (
    AcceptedTask,
    Activity,
    Answered,
    AuditEntry,
    ConsentEvent,
    Dataset,
    Dealt,
    Imported,
    PersonActivity,
    Variate,
    Verified,
)
from clients.store.verification import verify

__all__ = [
    "AcceptedTask",
    "Activity",
    "Answered",
    "AuditEntry",
    "ConsentEvent",
    "Dataset",
    "Dealt",
    "Imported",
    "NodeStore",
    "PersonActivity",
    "Variate",
    "Verified",
    "open_store",
    "verify",
]
