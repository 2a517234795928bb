"""A node's memory on disk: two databases behind one value."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from pyroaring import BitMap
from sqlalchemy import bindparam
from sqlmodel import col, delete, select

from clients.store import activities, audit_log, identity_tables, imports, ledger, masks, tables, variates, views
from clients.store.database import Database, Layout, Transaction
from clients.store.moments import from_micros, now, to_micros
from clients.store.prepared import prepared
from clients.store.records import (
    AcceptedTask,
    Activity,
    Answered,
    AuditEntry,
    Dataset,
    Imported,
    PersonActivity,
    Variate,
)
from federation.errors import Refusal, Refused, StoreError
from federation.ids import PersonNumber, TaskDigest

NODE = Layout(
    tables.NodeTable.metadata,
    tables.append_only_triggers(tables.APPEND_ONLY),
    ("snapshots",),
    tables.APPLICATION_ID,
    tables.VERSION,
    erases=True,
)
IDENTITIES = Layout(
    identity_tables.IdentityTable.metadata,
    (),
    ("pseudonyms", "budget"),
    identity_tables.APPLICATION_ID,
    identity_tables.VERSION,
    erases=True,
)
BUSY_TIMEOUT_S = 5.0
ACCEPTED = prepared(
    select(tables.AcceptedRow.signed_json, tables.AcceptedRow.accepted_at).where(
        col(tables.AcceptedRow.digest) == bindparam("digest"), col(tables.AcceptedRow.left_at).is_(None)
    )
)
SETTING = prepared(select(tables.SettingRow.value).where(col(tables.SettingRow.name) == bindparam("name")))
NONCE_KEPT = timedelta(days=1)
Clock = Callable[[], datetime]


class Followed(Protocol):
    """An index that is rebuilt from a log at any time."""

    def follow(self, tx: Transaction) -> None:
        """Catch up with the log; start again if it is not the one that was followed so far."""


Index = TypeVar("Index", bound=Followed)


class Folder(Protocol):
    """A node's folder."""

    @property
    def path(self) -> Path:
        """Where it is."""


class NodeStore:
    """Everything that a node remembers; see `clients.people`, `clients.consent`, `clients.budget` for its logs."""

    def __init__(self, node: Database, identities: Database, clock: Clock) -> None:
        self.clock = clock
        self.identities = identities
        self._node = node
        self._indexes: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"NodeStore({self._node.path})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        """The node's folder, in which both files lie."""
        return self._node.path.parent

    def close(self) -> None:
        """Close both files."""
        self._node.close()
        self.identities.close()

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Write to node.sqlite: all of it or nothing; inside another transaction it joins that one."""
        return self._node.transaction()

    def reading(self) -> AbstractContextManager[Transaction]:
        """Read node.sqlite at one moment."""
        return self._node.reading()

    def require_own_transaction(self, what: str) -> None:
        """Raise `StoreError` inside a transaction, where `what` would not be on the disk when it returns."""
        if self._node.in_transaction:
            raise StoreError(f"{what} must be on disk before it returns; call it outside of a transaction.")

    def followed(self, kind: Callable[[], Index], tx: Transaction) -> Index:
        """This store's one instance of an index over a log, such as who has spent what, caught up with the log."""
        with self._lock:
            index, seen = self._indexes.setdefault(kind, (kind(), None))
            version = self._node.version()
            if version != seen:
                index.follow(tx)
                self._indexes[kind] = (index, version)
            found: Index = index
            return found

    def snapshot_key(self) -> bytes:
        """The key of commitments to snapshots, 32 bytes."""
        with self.reading() as tx:
            return ledger.key(tx)

    def accept_task(self, signed_manifest_json: str, digest: TaskDigest, at: datetime) -> None:
        """Remember that the owner accepted exactly this digest; accepted again after leaving, it holds again."""
        with self.transaction() as tx:
            row = tables.AcceptedRow(digest=digest, signed_json=signed_manifest_json, accepted_at=to_micros(at))
            tx.merge(row)
            audit_log.append(tx, "accepted", {"task": digest}, to_micros(at))

    def leave_task(self, digest: TaskDigest, at: datetime) -> None:
        """Take the acceptance back; `accepted_task` no longer finds it."""
        with self.transaction() as tx:
            row = tx.get(tables.AcceptedRow, digest)
            if row is None:
                raise Refused(Refusal.NOT_ACCEPTED, f"task {digest[:12]} was never accepted here; nothing to leave.")
            row.left_at = to_micros(at)
            tx.add(row)
            variates.forget_task(tx, digest)
            views.forget(tx, digest)
            masks.forget_task(tx, digest)
            audit_log.append(tx, "left", {"task": digest}, to_micros(at))

    def accepted_task(self, digest: TaskDigest) -> AcceptedTask | None:
        """The task with this digest, if its acceptance holds."""
        with self.reading() as tx:
            found = tx.first(ACCEPTED, digest=digest)
        return AcceptedTask(digest, found[0], from_micros(found[1]), None) if found else None

    def accepted_tasks(self) -> tuple[AcceptedTask, ...]:
        """Every task that was ever accepted, in order."""
        with self.reading() as tx:
            rows = tx.exec(select(tables.AcceptedRow).order_by(col(tables.AcceptedRow.accepted_at))).all()
        return tuple(
            AcceptedTask(
                TaskDigest(row.digest),
                row.signed_json,
                from_micros(row.accepted_at),
                None if row.left_at is None else from_micros(row.left_at),
            )
            for row in rows
        )

    def seen_nonce(self, nonce: str, expires_at: datetime) -> bool:
        """Whether `nonce` was here before; from now on it was."""
        with self.transaction() as tx:
            outdated = to_micros(self.clock() - NONCE_KEPT)
            tx.exec(delete(tables.NonceRow).where(col(tables.NonceRow.expires_at) < outdated))
            if tx.get(tables.NonceRow, nonce) is not None:
                return True
            tx.add(tables.NonceRow(nonce=nonce, expires_at=to_micros(expires_at)))
            return False

    def stored_answer(self, task: TaskDigest, attempt: int, kind: str) -> bytes | None:
        """The bytes that answered this attempt; `Refused` (attempt lost) where they are not kept any more."""
        with self.reading() as tx:
            return activities.stored_answer(tx, task, attempt, kind)

    def record_answer(self, answered: Answered) -> None:
        """Write answer, processing activity and audit entry in one transaction; an attempt is answered once."""
        with self.transaction() as tx:
            activities.record(tx, answered)

    def variate(self, task: TaskDigest, round_number: int) -> Variate | None:
        """This party's control variate after a round; None where there is none, or where it had to be forgotten."""
        with self.reading() as tx:
            return variates.find(tx, task, round_number)

    def keep_variate(self, variate: Variate) -> None:
        """Remember a control variate until the task ends or somebody whose rows are in it withdraws."""
        with self.transaction() as tx:
            variates.keep(tx, variate)

    def forget_variates(self, task: TaskDigest, but: int | None = None) -> None:
        """Forget the task's control variates, all `but` the one of a round."""
        with self.transaction() as tx:
            variates.forget_task(tx, task, but)

    def forget_ended(self) -> None:
        """Forget the control variates and the views of tasks that have ended."""
        now = to_micros(self.clock())
        with self.reading() as tx:
            ended = variates.any_ended(tx, now) or views.any_ended(tx, now)
        if ended:
            with self.transaction() as tx:
                variates.forget_ended(tx, now)
                views.forget_ended(tx, now)

    def wipe(self) -> bool:
        """Let what was deleted, such as secrets of masks that were used, be in no log; False while others read."""
        return self._node.empty_log()

    def activities(self, task: TaskDigest | None = None) -> tuple[Activity, ...]:
        """The record of processing activities, of one task or of all."""
        with self.reading() as tx:
            return activities.all_of(tx, task)

    def people_of(self, task: TaskDigest, attempt: int, kind: str) -> BitMap:
        """Whose rows the stored answer to this attempt may have been made from."""
        with self.reading() as tx:
            return activities.people_of(tx, task, attempt, kind)

    def activities_of(self, person: PersonNumber) -> tuple[PersonActivity, ...]:
        """Which rounds used this person's rows, and under which statement of consent."""
        with self.reading() as tx:
            return activities.of_person(tx, person)

    def paused(self) -> bool:
        """Whether the owner vetoes everything at present."""
        with self.reading() as tx:
            return tx.first(SETTING, name="paused") == ("yes",)

    def set_paused(self, paused: bool) -> None:
        """Veto everything from the next message on, or stop doing so."""
        with self.transaction() as tx:
            tx.merge(tables.SettingRow(name="paused", value="yes" if paused else "no"))
            audit_log.append(tx, "paused" if paused else "resumed", {}, to_micros(self.clock()))

    def audit(self, kind: str, body: audit_log.Body) -> None:
        """Append one entry to the audit log; no personal identifiers, for it cannot be taken back."""
        with self.transaction() as tx:
            audit_log.append(tx, kind, body, to_micros(self.clock()))

    def audit_entries(self) -> tuple[AuditEntry, ...]:
        """The whole audit log; the `leaf` hashes make its Merkle tree (`federation.audit`)."""
        with self.reading() as tx:
            return tuple(audit_log.entries(tx))

    def add_dataset(self, imported: Imported) -> Dataset:
        """Register an import; `ImportRejected` for a known recording or a person on both sides of the hold-out."""
        with self.transaction() as tx:
            at = to_micros(self.clock())
            added = imports.add(tx, imported, at)
            about = {
                name: getattr(added, name) for name in ("number", "workload", "file", "rows", "sha256", "held_out")
            }
            audit_log.append(tx, "imported", {**about, "people": len(added.people)}, at)
            return added

    def remove_dataset(self, number: int) -> None:
        """Take an import off the register, before or after its file is deleted."""
        with self.transaction() as tx:
            imports.remove(tx, number)
            audit_log.append(tx, "removed", {"dataset": number}, to_micros(self.clock()))

    def datasets(self, workload: str | None = None) -> tuple[Dataset, ...]:
        """Registered imports, of one workload or of all."""
        with self.reading() as tx:
            return imports.of_workload(tx, workload)

    def known_recordings(self, workload: str, recordings: Sequence[str]) -> frozenset[str]:
        """Which of these hashes of recordings were imported before."""
        with self.reading() as tx:
            return imports.known(tx, workload, recordings)


def open_store(folder: Folder | Path, clock: Clock = now, busy_timeout_s: float = BUSY_TIMEOUT_S) -> NodeStore:
    """The store of a node's folder; its two files are made where they are missing."""
    path = folder if isinstance(folder, Path) else folder.path
    node = Database(path / "node.sqlite", NODE, busy_timeout_s)
    try:
        identities = Database(path / "identities.sqlite", IDENTITIES, busy_timeout_s)
    except BaseException:
        node.close()
        raise
    store = NodeStore(node, identities, clock)
    store.forget_ended()
    return store
