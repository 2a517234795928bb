"""Attempts and committed rounds, as the store keeps them: a round counts in full or not at all."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, delete, select

from federation.errors import StoreError
from federation.ids import PartyId, TaskDigest
from server.store.parties import Parties
from server.store.records import Attempt, PartyRound, RoundRecord, RoundRow, StoredModel
from server.store.tables import AttemptTable, MemoryTable, ModelTable, PartyRoundTable, RoundTable, TaskTable

OPEN, FAILED, COMMITTED = "open", "failed", "committed"
ANSWERED, REFUSED = "answered", "refused"
ABOUT_MODELS = ("train", "evaluate")


class Rounds(Parties):
    """From the first weights to the last round."""

    def next_attempt(self, task: TaskDigest, kind: str) -> int:
        """The number that `begin_attempt` will give; it belongs into the request."""
        with self.reading() as session:
            return _next(session, task, kind)

    def begin_attempt(self, task: TaskDigest, kind: str, round: int, model: str, request: bytes) -> int:
        """Record an attempt before its request leaves; returns its number. `StoreError` while one is open."""
        with self.transaction() as session:
            _lock(session, task)
            if _open(session, task, kind) is not None:
                raise StoreError(f"a {kind} attempt of this task is open; commit it or let it fail first.")
            number = _next(session, task, kind)
            row = AttemptTable(
                task=task,
                kind=kind,
                number=number,
                round=round,
                model=model,
                request=request,
                state=OPEN,
                started_at=self.clock(),
            )
            session.add(row)
            self.append(session, "attempt", {"task": task, "kind": kind, "attempt": number, "round": round})
            return number

    def open_attempt(self, task: TaskDigest, kind: str) -> Attempt | None:
        """The attempt that was begun and neither committed nor given up; there is at most one of a kind."""
        with self.reading() as session:
            row = _open(session, task, kind)
            return None if row is None else _attempt(row)

    def fail_attempt(
        self,
        task: TaskDigest,
        kind: str,
        attempt: int,
        reasons: Mapping[str, str],
        parties: Sequence[PartyRound] = (),
    ) -> None:
        """Give an open attempt up, with a reason per party; its number is never used again."""
        with self.transaction() as session:
            self._close(session, (task, kind, attempt), FAILED, reasons)
            self._add_parties(session, task, parties, kind, attempt)
            words = {"task": task, "kind": kind, "attempt": attempt, "reasons": dict(reasons)}
            self.append(session, "attempt-failed", words)

    def close_attempt(self, task: TaskDigest, kind: str, attempt: int, parties: Sequence[PartyRound] = ()) -> None:
        """End an open attempt that moves no weights: an evaluation, or a request for the first ones."""
        with self.transaction() as session:
            self._close(session, (task, kind, attempt), COMMITTED, {})
            self._add_parties(session, task, parties, kind, attempt)

    def attempted_rounds(self, task: TaskDigest) -> list[int]:
        """The round of every training attempt that was begun."""
        query = select(AttemptTable.round).where(AttemptTable.task == task, AttemptTable.kind == "train")
        with self.reading() as session:
            return list(session.exec(query))

    def last_reasons(self, task: TaskDigest) -> dict[str, str]:
        """Why each party did not contribute to the training attempt that failed last; empty if none did."""
        failed = [item for item in self.attempts(task) if item.kind == "train" and item.state == FAILED]
        return dict(failed[-1].reasons) if failed else {}

    def attempts(self, task: TaskDigest) -> list[Attempt]:
        """All attempts of all kinds, in order."""
        query = select(AttemptTable).where(AttemptTable.task == task)
        with self.reading() as session:
            rows = session.exec(query.order_by(col(AttemptTable.kind), col(AttemptTable.number)))
            return [_attempt(row) for row in rows]

    def commit_initial(self, task: TaskDigest, model: bytes) -> str:
        """Round 0: the first weights. `StoreError` if there are others already. Returns their digest."""
        with self.transaction() as session:
            _lock(session, task)
            if _last(session, task) is not None:
                raise StoreError("this task has its first weights already; they are never replaced.")
            digest = _add_model(session, model)
            row = _round_row(task, 0, None, digest, self.clock())
            session.add(row)
            self.append(session, "initial", {"task": task, "model": digest})
            return digest

    def commit_round(self, record: RoundRecord) -> str:
        """One transaction: weights, the optimiser's memory, round, what each party did, heads, log, attempt closed.

        `StoreError`, and nothing changes, unless the round is the last one plus 1 and its attempt is open.
        Returns the digest of the new weights.
        """
        with self.transaction() as session:
            _lock(session, record.task)
            last = _last(session, record.task)
            if last is None or record.round != last + 1:
                raise StoreError(f"round {record.round} cannot follow round {last}; nothing was applied.")
            self._close(session, (record.task, "train", record.attempt), COMMITTED, {}, record.round)
            digest = _add_model(session, record.model)
            row = _round_row(record.task, record.round, record.attempt, digest, self.clock())
            answered = sorted(party.party for party in record.parties if party.outcome == ANSWERED)
            row.parties, row.shrink, row.seconds = json.dumps(answered), record.shrink, record.seconds
            row.memory = _keep_memory(session, record)
            row.bytes_up = sum(party.bytes_up for party in record.parties)
            row.bytes_down = sum(party.bytes_down for party in record.parties)
            session.add(row)
            self._add_parties(session, record.task, record.parties, "train", record.attempt)
            self.save_heads(session, record.heads)
            self.append(session, "round", _words(record, digest, answered))
            return digest

    def latest_model(self, task: TaskDigest) -> StoredModel | None:
        """The weights of the last committed round with the memory that goes with them; None before the first ones."""
        with self.reading() as session:
            row = _newest(session, task)
            memory = _memory(session, row) if row else b""
        return None if row is None else StoredModel(row.round, row.model, self.model(row.model), memory)

    def model(self, digest: str) -> bytes:
        """Weights by digest, or `StoreError`; what was changed in the database is found."""
        with self.reading() as session:
            row = session.get(ModelTable, digest)
        if row is None or hashlib.sha256(row.data).hexdigest() != digest:
            raise StoreError(f"model {digest[:16]}… is {'missing' if row is None else 'damaged'}; restore a backup.")
        return row.data

    def rounds(self, task: TaskDigest) -> list[RoundRow]:
        """Committed rounds, from 0."""
        query = select(RoundTable).where(RoundTable.task == task).order_by(col(RoundTable.round))
        with self.reading() as session:
            return [_round(row) for row in session.exec(query)]

    def last_round(self, task: TaskDigest) -> RoundRow:
        """The round that was committed last, or `StoreError` before the first weights."""
        with self.reading() as session:
            row = _newest(session, task)
            if row is None:
                raise StoreError(f"task {task[:16]}… has no first weights yet.")
            return _round(row)

    def party_rounds(self, task: TaskDigest) -> list[PartyRound]:
        """What each party did in each attempt, in the order in which it was recorded."""
        query = select(PartyRoundTable).where(PartyRoundTable.task == task).order_by(col(PartyRoundTable.id))
        with self.reading() as session:
            return [PartyRound(**row.model_dump(exclude={"task", "id"})) for row in session.exec(query)]

    def last_heard(self, task: TaskDigest, since_round: int) -> dict[PartyId, PartyRound]:
        """Each party's latest answer or refusal about a model, among those of round `since_round` and later."""
        about = (PartyRoundTable.task == task, PartyRoundTable.round >= since_round)
        spoke = (col(PartyRoundTable.kind).in_(ABOUT_MODELS), col(PartyRoundTable.outcome).in_((ANSWERED, REFUSED)))
        latest = select(func.max(col(PartyRoundTable.id))).where(*about, *spoke).group_by(PartyRoundTable.party)
        query = select(PartyRoundTable).where(col(PartyRoundTable.id).in_(latest))
        with self.reading() as session:
            return {
                PartyId(row.party): PartyRound(**row.model_dump(exclude={"task", "id"})) for row in session.exec(query)
            }

    def refusals(self, task: TaskDigest) -> list[PartyRound]:
        """Those of `party_rounds` in which the party did not contribute."""
        return [party for party in self.party_rounds(task) if party.outcome != ANSWERED]

    def _close(
        self,
        session: Session,
        key: tuple[TaskDigest, str, int],
        state: str,
        reasons: Mapping[str, str],
        round: int | None = None,
    ) -> None:
        row = session.get(AttemptTable, key, with_for_update=True)
        if row is None or row.state != OPEN:
            raise StoreError(
                f"{key[1]} attempt {key[2]} is {row.state if row else 'unknown'}, not open; nothing changed."
            )
        if round is not None and row.round != round:
            raise StoreError(f"attempt {key[2]} was begun for round {row.round}, not {round}; nothing changed.")
        row.state, row.ended_at, row.reasons = state, self.clock(), json.dumps(dict(reasons))

    def _add_parties(
        self, session: Session, task: TaskDigest, parties: Sequence[PartyRound], kind: str, attempt: int
    ) -> None:
        round = session.get_one(AttemptTable, (task, kind, attempt)).round
        for party in parties:
            self._add_party(session, task, replace(party, round=round, attempt=attempt, kind=kind))

    def _add_party(self, session: Session, task: TaskDigest, party: PartyRound) -> None:
        session.add(PartyRoundTable(task=task, **vars(party) | {"at": self.clock()}))


def _lock(session: Session, task: TaskDigest) -> None:
    query = select(TaskTable).where(TaskTable.digest == task).with_for_update()
    if session.exec(query).first() is None:
        raise StoreError(f"there is no task with digest {task[:16]}… here.")


def _next(session: Session, task: TaskDigest, kind: str) -> int:
    query = select(func.max(col(AttemptTable.number))).where(AttemptTable.task == task, AttemptTable.kind == kind)
    last = session.exec(query).one()
    return 0 if last is None else last + 1


def _open(session: Session, task: TaskDigest, kind: str) -> AttemptTable | None:
    same = (AttemptTable.task == task, AttemptTable.kind == kind, AttemptTable.state == OPEN)
    return session.exec(select(AttemptTable).where(*same)).first()


def _newest(session: Session, task: TaskDigest) -> RoundTable | None:
    query = select(RoundTable).where(RoundTable.task == task)
    return session.exec(query.order_by(col(RoundTable.round).desc()).limit(1)).first()


def _last(session: Session, task: TaskDigest) -> int | None:
    return session.exec(select(func.max(col(RoundTable.round))).where(RoundTable.task == task)).one()


def _add_model(session: Session, model: bytes) -> str:
    digest = hashlib.sha256(model).hexdigest()
    if session.get(ModelTable, digest) is None:
        session.add(ModelTable(digest=digest, data=model))
        session.flush()
    return digest


def _keep_memory(session: Session, record: RoundRecord) -> str | None:
    """Replace the memory by the one of this round, which may be none; its digest, for the round's row."""
    if not record.memory:
        session.exec(delete(MemoryTable).where(col(MemoryTable.task) == record.task))
        return None
    session.merge(MemoryTable(task=record.task, data=record.memory))
    return hashlib.sha256(record.memory).hexdigest()


def _memory(session: Session, row: RoundTable) -> bytes:
    """The memory after the last round, or `StoreError` if it is not the one that was committed with it."""
    if row.memory is None:
        return b""
    kept = session.get(MemoryTable, row.task)
    if kept is None or hashlib.sha256(kept.data).hexdigest() != row.memory:
        how = "missing" if kept is None else "damaged"
        raise StoreError(f"what the optimiser remembers of round {row.round} is {how}; restore a backup.")
    return kept.data


def _round_row(task: TaskDigest, round: int, attempt: int | None, model: str, at: datetime) -> RoundTable:
    return RoundTable(
        task=task,
        round=round,
        attempt=attempt,
        model=model,
        parties="[]",
        shrink=1.0,
        seconds=0.0,
        bytes_up=0,
        bytes_down=0,
        committed_at=at,
    )


def _words(record: RoundRecord, digest: str, answered: list[PartyId]) -> dict[str, object]:
    return {
        "task": record.task,
        "round": record.round,
        "attempt": record.attempt,
        "model": digest,
        "parties": list(answered),
        "heads": dict(record.heads),
        "snapshots": {party.party: party.snapshot for party in record.parties if party.snapshot},
    }


def _attempt(row: AttemptTable) -> Attempt:
    return Attempt(**row.model_dump() | {"reasons": json.loads(row.reasons)})


def _round(row: RoundTable) -> RoundRow:
    return RoundRow(**row.model_dump(exclude={"task", "memory"}) | {"parties": tuple(json.loads(row.parties))})
