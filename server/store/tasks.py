"""Tasks with their states, signatures and acceptances, as the store keeps them."""

from sqlalchemy import bindparam
from sqlmodel import col, delete, select

from federation.acceptance import Acceptance, parse_acceptance
from federation.errors import ManifestError, StoreError
from federation.ids import PartyId, TaskDigest
from federation.manifest import Manifest
from federation.signing import (
    Signature,
    SignedManifest,
)
from server.store.audit import AuditLog
from server.store.database import Transaction
from server.store.records import Task, TaskState
from server.store.tables import AcceptanceTable, SignatureTable, TaskTable

NEXT_STATES: dict[TaskState, frozenset[TaskState]] = {
    TaskState.DRAFT: frozenset({TaskState.SIGNED}),
    TaskState.SIGNED: frozenset({TaskState.RUNNING}),
    TaskState.RUNNING: frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.STOPPED}),
    TaskState.FAILED: frozenset({TaskState.FAILED, TaskState.RUNNING, TaskState.STOPPED}),
    TaskState.STOPPED: frozenset({TaskState.RUNNING, TaskState.COMPLETED}),
    TaskState.COMPLETED: frozenset({TaskState.COMPLETED}),
}

ACCEPTED = select(AcceptanceTable.party).where(col(AcceptanceTable.task) == bindparam("of_task"))


class Tasks(AuditLog):
    """Contracts, and who said yes to them."""

    def add_task(self, manifest: Manifest) -> Task:
        """Record a draft; it replaces a draft of the same name that nobody has signed."""
        digest = manifest.digest()
        with self.transaction() as session:
            self._make_room(session, manifest.name)
            row = TaskTable(
                digest=digest,
                name=manifest.name,
                manifest_json=manifest.canonical().decode(),
                state=TaskState.DRAFT,
                created_at=self.clock(),
            )
            session.add(row)
            self.append(session, "task-written", {"task": digest, "name": manifest.name})
            return _task(row)

    def tasks(self) -> list[Task]:
        """All tasks, oldest first."""
        query = select(TaskTable).order_by(col(TaskTable.created_at), col(TaskTable.name))
        with self.reading() as session:
            return [_task(row) for row in session.exec(query)]

    def task(self, key: str) -> Task:
        """The task with this name or digest, or `ManifestError`."""
        with self.reading() as session:
            return _task(_find(session, key))

    def set_task_state(self, task: str, state: TaskState, message: str = "") -> None:
        """Move a task (by name or digest) on; `StoreError` if its state does not lead there (see `NEXT_STATES`).

        A task that the operator stopped and that then fails, because it was stopped, stays stopped.
        """
        with self.transaction() as session:
            row = _find(session, task, lock=True)
            if (row.state, state) == (TaskState.STOPPED, TaskState.FAILED):
                return
            if state not in NEXT_STATES[TaskState(row.state)]:
                raise StoreError(f"task {row.name} is {row.state} and cannot become {state}.")
            row.state, row.message = state, message
            self.append(session, f"task-{state}", {"task": row.digest, "message": message})

    def set_run(self, task: str, run_id: int) -> None:
        """Remember which run of Flower works on a task."""
        with self.transaction() as session:
            _find(session, task, lock=True).run_id = str(run_id)

    def add_signature(self, task: TaskDigest, signature: Signature) -> TaskState:
        """Record a signature that was verified; with both of them the draft becomes signed. Returns the state."""
        with self.transaction() as session:
            row = _find(session, task, lock=True)
            session.merge(
                SignatureTable(
                    task=task, signer=signature.signer, party=signature.party, body=signature.model_dump_json()
                )
            )
            session.flush()
            signers = set(session.exec(select(SignatureTable.signer).where(SignatureTable.task == task)))
            if row.state == TaskState.DRAFT and {"coordinator", "algorithm-provider"} <= signers:
                row.state = TaskState.SIGNED
            self.append(session, "task-signature", {"task": task, "signer": signature.signer, "party": signature.party})
            return TaskState(row.state)

    def signed_manifest(self, key: str) -> SignedManifest:
        """A task with the signatures so far."""
        task = self.task(key)
        query = select(SignatureTable).where(SignatureTable.task == task.digest)
        with self.reading() as session:
            rows = session.exec(query.order_by(col(SignatureTable.signer), col(SignatureTable.party)))
            signatures = tuple(Signature.model_validate_json(row.body) for row in rows)
        return SignedManifest(manifest=task.manifest(), signatures=signatures)

    def add_acceptance(self, acceptance: Acceptance) -> None:
        """Record an acceptance that was verified; a second one by the same party changes nothing."""
        with self.transaction() as session:
            _find(session, acceptance.task, lock=True)
            if session.get(AcceptanceTable, (acceptance.task, acceptance.party)) is not None:
                return
            session.add(
                AcceptanceTable(
                    task=acceptance.task,
                    party=acceptance.party,
                    body=acceptance.model_dump_json(),
                    accepted_at=acceptance.accepted_at,
                )
            )
            self.append(session, "task-accepted", {"task": acceptance.task, "party": acceptance.party})

    def accepted(self, task: TaskDigest) -> set[PartyId]:
        """Parties that accepted exactly this task."""
        with self.reading() as session:
            return {PartyId(party) for (party,) in session.core.execute(ACCEPTED, {"of_task": task})}

    def acceptances(self, task: TaskDigest) -> list[Acceptance]:
        """The acceptances themselves, by party."""
        query = select(AcceptanceTable).where(AcceptanceTable.task == task).order_by(col(AcceptanceTable.party))
        with self.reading() as session:
            return [parse_acceptance(row.body) for row in session.exec(query)]

    def _make_room(self, session: Transaction, name: str) -> None:
        old = session.exec(select(TaskTable).where(TaskTable.name == name)).first()
        if old is None:
            return
        if session.exec(select(SignatureTable).where(SignatureTable.task == old.digest)).first() is not None:
            raise ManifestError(
                f"a task called {name} exists and is signed; what was signed stays. Choose another name."
            )
        session.exec(delete(TaskTable).where(col(TaskTable.digest) == old.digest))


def _find(session: Transaction, key: str, lock: bool = False) -> TaskTable:
    query = select(TaskTable).where((col(TaskTable.name) == key) | (col(TaskTable.digest) == key))
    row = session.exec(query.with_for_update() if lock else query).first()
    if row is None:
        raise ManifestError(f"there is no task {key!r} here; list them with: paceline task list")
    return row


def _task(row: TaskTable) -> Task:
    run_id = None if row.run_id is None else int(row.run_id)
    return Task(**row.model_dump() | {"state": TaskState(row.state), "run_id": run_id})
