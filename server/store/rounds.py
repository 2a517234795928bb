"""Committed rounds and their models, as the store keeps them: a round counts in full or not at all."""

import hashlib
import json
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, select, update

from federation.errors import StoreError
from federation.ids import TaskDigest
from server.store.attempts import ANSWERED, COMMITTED, Attempts, lock, traffic
from server.store.database import Transaction
from server.store.records import PartyRound, RoundRecord, RoundRow, StoredModel, Traffic
from server.store.tables import MemoryTable, ModelTable, RoundTable

# Built once, and columns instead of objects: every round needs them.
_ROUND, _MODEL, _MEMORY = RoundTable.__table__, ModelTable.__table__, MemoryTable.__table__  # type: ignore[attr-defined]
_TASK = _ROUND.c.task == bindparam("of_task")
LAST = select(func.max(_ROUND.c.round)).where(_TASK)
NEWEST = select(_ROUND).where(_TASK).order_by(_ROUND.c.round.desc()).limit(1)
ALL = select(_ROUND).where(_TASK).order_by(_ROUND.c.round)
ADD = insert(_ROUND)
IS_KEPT = select(_MODEL.c.digest).where(_MODEL.c.digest == bindparam("of_digest"))
DATA = select(_MODEL.c.data).where(_MODEL.c.digest == bindparam("of_digest"))
KEEP = insert(_MODEL)
REMEMBERED = select(_MEMORY.c.data).where(_MEMORY.c.task == bindparam("of_task"))
FORGET = delete(_MEMORY).where(_MEMORY.c.task == bindparam("of_task"))
REMEMBER = insert(_MEMORY)
REMEMBER_NOW = update(_MEMORY).where(_MEMORY.c.task == bindparam("of_task"))


class Rounds(Attempts):
    """From the first weights to the last round."""

    def commit_initial(self, task: TaskDigest, model: bytes, provider: PartyRound | None = None) -> str:
        """Round 0: the first weights; `provider`: who gave them in which attempt, if anybody was asked for them.

        `StoreError` if there are others already. Returns their digest.
        """
        with self.transaction() as session:
            lock(session, task)
            if _last(session, task) is not None:
                raise StoreError("this task has its first weights already; they are never replaced.")
            if provider:
                key = (task, "initialise", provider.attempt)
                self._add_parties(session, key, self._close(session, key, COMMITTED, {}), [provider])
            took = traffic(session, task, 0).get(0, Traffic())
            digest = _add_model(session, model)
            first = RoundRow(0, None, digest, (), 1.0, 0.0, took.up, took.down, self.clock())
            _add(session, task, first, None)
            self.append(session, "initial", {"task": task, "model": digest})
            return digest

    def commit_round(self, record: RoundRecord) -> str:
        """One transaction: weights, the optimiser's memory, round, what each party did, heads, log, attempt closed.

        `StoreError`, and nothing changes, unless the round is the last one plus 1 and its attempt is open.
        Returns the digest of the new weights.
        """
        key = (record.task, "train", record.attempt)
        with self.transaction() as session:
            lock(session, record.task)
            last = _last(session, record.task)
            if last is None or record.round != last + 1:
                raise StoreError(f"round {record.round} cannot follow round {last}; nothing was applied.")
            begun_for = self._close(session, key, COMMITTED, {})
            if begun_for != record.round:
                raise StoreError(
                    f"attempt {record.attempt} was begun for round {begun_for}, not {record.round}; nothing changed."
                )
            self._give_up_rest(session, record.task)
            self._add_parties(session, key, record.round, record.parties)
            took = traffic(session, record.task, record.round).get(record.round, Traffic())
            row = _row(record, _add_model(session, record.model), took, self.clock())
            _add(session, record.task, row, _keep_memory(session, record))
            self.save_heads(session, record.heads)
            self.append(session, "round", _words(record, row))
            return row.model

    def latest_model(self, task: TaskDigest) -> StoredModel | None:
        """The weights of the last committed round with the memory that goes with them; None before the first ones."""
        with self.reading() as session:
            row = _newest(session, task)
            memory = _memory(session, row) if row else b""
        return None if row is None else StoredModel(row.round, row.model, self.model(row.model), memory)

    def model(self, digest: str) -> bytes:
        """Weights by digest, or `StoreError`; what was changed in the database is found."""
        with self.reading() as session:
            data = session.core.execute(DATA, {"of_digest": digest}).scalar()
        if data is None or hashlib.sha256(data).hexdigest() != digest:
            raise StoreError(f"model {digest[:16]}… is {'missing' if data is None else 'damaged'}; restore a backup.")
        return bytes(data)

    def rounds(self, task: TaskDigest) -> list[RoundRow]:
        """Committed rounds, from 0."""
        with self.reading() as session:
            return [_round(row) for row in session.core.execute(ALL, {"of_task": task})]

    def last_round(self, task: TaskDigest) -> RoundRow:
        """The round that was committed last, or `StoreError` before the first weights."""
        with self.reading() as session:
            row = _newest(session, task)
            if row is None:
                raise StoreError(f"task {task[:16]}… has no first weights yet.")
            return _round(row)


def _newest(session: Transaction, task: TaskDigest) -> Row[Any] | None:
    return session.core.execute(NEWEST, {"of_task": task}).first()


def _last(session: Transaction, task: TaskDigest) -> int | None:
    return session.core.execute(LAST, {"of_task": task}).scalar()


def _add(session: Transaction, task: TaskDigest, row: RoundRow, memory: str | None) -> None:
    words = vars(row) | {"task": task, "memory": memory, "parties": json.dumps(row.parties)}
    session.core.execute(ADD, words)


def _add_model(session: Transaction, model: bytes) -> str:
    digest = hashlib.sha256(model).hexdigest()
    if session.core.execute(IS_KEPT, {"of_digest": digest}).first() is None:
        session.core.execute(KEEP, {"digest": digest, "data": model})
    return digest


def _keep_memory(session: Transaction, record: RoundRecord) -> str | None:
    """Replace the memory by the one of this round, which may be none; its digest, for the round's row."""
    if not record.memory:
        session.core.execute(FORGET, {"of_task": record.task})
        return None
    found = session.core.execute(REMEMBER_NOW, {"of_task": record.task, "data": record.memory}).rowcount
    if not found:
        session.core.execute(REMEMBER, {"task": record.task, "data": record.memory})
    return hashlib.sha256(record.memory).hexdigest()


def _memory(session: Transaction, row: Row[Any]) -> bytes:
    """The memory after the last round, or `StoreError` if it is not the one that was committed with it."""
    if row.memory is None:
        return b""
    kept = session.core.execute(REMEMBERED, {"of_task": row.task}).scalar()
    if kept is None or hashlib.sha256(kept).hexdigest() != row.memory:
        how = "missing" if kept is None else "damaged"
        raise StoreError(f"what the optimiser remembers of round {row.round} is {how}; restore a backup.")
    return bytes(kept)


def _row(record: RoundRecord, model: str, took: Traffic, at: datetime) -> RoundRow:
    return RoundRow(
        round=record.round,
        attempt=record.attempt,
        model=model,
        parties=tuple(sorted(party.party for party in record.parties if party.outcome == ANSWERED)),
        shrink=record.shrink,
        seconds=record.seconds,
        bytes_up=took.up,
        bytes_down=took.down,
        committed_at=at,
    )


def _words(record: RoundRecord, row: RoundRow) -> dict[str, object]:
    return {
        "task": record.task,
        "round": record.round,
        "attempt": record.attempt,
        "model": row.model,
        "parties": list(row.parties),
        "heads": dict(record.heads),
        "snapshots": {party.party: party.snapshot for party in record.parties if party.snapshot},
    }


def _round(row: Row[Any]) -> RoundRow:
    words = row._asdict()
    del words["task"], words["memory"]
    return RoundRow(**words | {"parties": tuple(json.loads(row.parties))})
