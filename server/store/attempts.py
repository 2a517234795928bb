"""Attempts at rounds, and what each party did in them, as the store keeps them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, case, func, insert, select, update
from sqlmodel import col

from federation.errors import StoreError
from federation.ids import LedgerHead, PartyId, TaskDigest
from server.store import on_the_way
from server.store.database import Transaction
from server.store.on_the_way import Key
from server.store.parties import Parties
from server.store.records import Attempt, PartyRound, Traffic
from server.store.tables import AttemptTable, PartyRoundTable, TaskTable

OPEN, FAILED, COMMITTED = "open", "failed", "committed"
ANSWERED, REFUSED = "answered", "refused"
ABOUT_MODELS = ("train", "evaluate")
WITH_WEIGHTS = ("initialise", "train")
BESIDE_TRAINING = ("prepare", "agree", "unmask")
EXCHANGE = (*WITH_WEIGHTS, *BESIDE_TRAINING)
"""The kinds of questions that make a round; scores are no part of it."""

# Built once, and columns instead of objects: every round needs them.
_ATTEMPT, _DONE = AttemptTable.__table__, PartyRoundTable.__table__  # type: ignore[attr-defined]
_KIND = (_ATTEMPT.c.task == bindparam("of_task"), _ATTEMPT.c.kind == bindparam("of_kind"))
_ONE = (*_KIND, _ATTEMPT.c.number == bindparam("of_number"))
LOCK = select(col(TaskTable.digest)).where(col(TaskTable.digest) == bindparam("of_task")).with_for_update()
NEWEST = select(func.max(_ATTEMPT.c.number)).where(*_KIND)
IN_WORK = select(_ATTEMPT).where(*_KIND, _ATTEMPT.c.state == OPEN)
LAST = select(_ATTEMPT).where(*_KIND).order_by(_ATTEMPT.c.number.desc()).limit(1)
LEFT_OPEN = select(_ATTEMPT.c.kind, _ATTEMPT.c.number).where(
    _ATTEMPT.c.task == bindparam("of_task"), _ATTEMPT.c.kind.in_(BESIDE_TRAINING), _ATTEMPT.c.state == OPEN
)
BEGIN = insert(_ATTEMPT)
STATE = select(_ATTEMPT.c.state, _ATTEMPT.c.round).where(*_ONE).with_for_update()
END = update(_ATTEMPT).where(*_ONE)
BEGUN = select(_ATTEMPT.c.round).where(*_KIND)
DID = insert(_DONE)
_UPDATES = case((_DONE.c.kind.in_(WITH_WEIGHTS), 1), else_=0)
_CAME = case((_DONE.c.kind.in_(WITH_WEIGHTS) & (_DONE.c.outcome == ANSWERED), 1), else_=0)
_FAILED_ROUNDS = select(_ATTEMPT.c.round).where(*_KIND, _ATTEMPT.c.state == FAILED)
MARKED = (
    select(_DONE.c.party)
    .where(_DONE.c.task == bindparam("of_task"), _DONE.c.round.in_(_FAILED_ROUNDS))
    .where(_DONE.c.kind == bindparam("of_kind"), _DONE.c.code == bindparam("of_code"))
    .distinct()
)
TRAFFIC = (
    select(
        _DONE.c.round,
        *(func.coalesce(func.sum(part), 0) for part in (_DONE.c.bytes_up, _DONE.c.bytes_down, _UPDATES, _CAME)),
    )
    .where(_DONE.c.task == bindparam("of_task"), _DONE.c.round >= bindparam("since"), _DONE.c.kind.in_(EXCHANGE))
    .group_by(_DONE.c.round)
)


class Attempts(Parties):
    """From a question that is about to be asked to what came of it."""

    def next_attempt(self, task: TaskDigest, kind: str) -> int:
        """The number that `begin_attempt` will give; it belongs into the request."""
        with self.reading() as session:
            return _next(session, task, kind)

    def begin_attempt(self, task: TaskDigest, kind: str, round: int, model: str, request: bytes) -> int:
        """Record an attempt before its request leaves; returns its number. `StoreError` while one is open."""
        with self.transaction() as session:
            lock(session, task)
            if _open(session, task, kind) is not None:
                raise StoreError(f"a {kind} attempt of this task is open; commit it or let it fail first.")
            number = _next(session, task, kind)
            words = {"task": task, "kind": kind, "number": number, "round": round, "model": model, "request": request}
            session.core.execute(BEGIN, words | {"state": OPEN, "started_at": self.clock(), "reasons": "{}"})
            self.append(session, "attempt", {"task": task, "kind": kind, "attempt": number, "round": round})
            return number

    def sending(self, key: Key, sizes: Mapping[PartyId, int]) -> None:
        """So many bytes are about to be sent to each party in an open attempt; on disk before they leave."""
        with self.transaction() as session:
            for party, size in sizes.items():
                on_the_way.add(session, key, party, 0, size)

    def heard(self, key: Key, party: PartyId, came: int, resent: int = 0, head: LedgerHead | None = None) -> None:
        """So many bytes came from a party in an open attempt, `resent` went there again; with the head that it showed.

        At once: what was charged is charged, whatever becomes of the attempt.
        """
        if came or resent or head:
            with self.transaction() as session:
                on_the_way.add(session, key, party, came, resent)
                self.save_heads(session, {party: head} if head else {})

    def open_attempt(self, task: TaskDigest, kind: str) -> Attempt | None:
        """The attempt that was begun and neither committed nor given up; there is at most one of a kind."""
        with self.reading() as session:
            row = _open(session, task, kind)
            return None if row is None else _attempt(row)

    def last_attempt(self, task: TaskDigest, kind: str) -> Attempt | None:
        """The attempt that was begun last, whatever became of it."""
        with self.reading() as session:
            row = session.core.execute(LAST, {"of_task": task, "of_kind": kind}).first()
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
            round = self._close(session, (task, kind, attempt), FAILED, reasons)
            if kind == "train":
                self._give_up_rest(session, task)
            self._add_parties(session, (task, kind, attempt), round, parties)
            words = {"task": task, "kind": kind, "attempt": attempt, "reasons": dict(reasons)}
            self.append(session, "attempt-failed", words)

    def close_attempt(self, task: TaskDigest, kind: str, attempt: int, parties: Sequence[PartyRound] = ()) -> None:
        """End an open attempt that moves no weights: an evaluation, or a request for the first ones."""
        with self.transaction() as session:
            round = self._close(session, (task, kind, attempt), COMMITTED, {})
            self._add_parties(session, (task, kind, attempt), round, parties)

    def attempted_rounds(self, task: TaskDigest) -> list[int]:
        """The round of every training attempt that was begun."""
        with self.reading() as session:
            return list(session.core.execute(BEGUN, {"of_task": task, "of_kind": "train"}).scalars())

    def last_reasons(self, task: TaskDigest) -> dict[str, str]:
        """Why each party did not contribute to the training attempt that failed last; empty if none did."""
        failed = [item for item in self.attempts(task) if item.kind == "train" and item.state == FAILED]
        return dict(failed[-1].reasons) if failed else {}

    def attempts(self, task: TaskDigest) -> list[Attempt]:
        """All attempts of all kinds, in order."""
        query = select(_ATTEMPT).where(_ATTEMPT.c.task == task).order_by(_ATTEMPT.c.kind, _ATTEMPT.c.number)
        with self.reading() as session:
            return [_attempt(row) for row in session.core.execute(query)]

    def party_rounds(self, task: TaskDigest) -> list[PartyRound]:
        """What each party did in each attempt, in the order in which it was recorded."""
        query = select(_DONE).where(_DONE.c.task == task).order_by(_DONE.c.id)
        with self.reading() as session:
            return [_party_round(row) for row in session.core.execute(query)]

    def traffic(self, task: TaskDigest, since_round: int = 0) -> dict[int, Traffic]:
        """What each round took so far, from `since_round` on; one of which nobody was asked anything is left out."""
        with self.reading() as session:
            return traffic(session, task, since_round)

    def last_heard(self, task: TaskDigest, since_round: int) -> dict[PartyId, PartyRound]:
        """Each party's latest answer or refusal about a model, among those of round `since_round` and later."""
        about = (_DONE.c.task == task, _DONE.c.round >= since_round)
        spoke = (_DONE.c.kind.in_(ABOUT_MODELS), _DONE.c.outcome.in_((ANSWERED, REFUSED)))
        latest = select(func.max(_DONE.c.id)).where(*about, *spoke).group_by(_DONE.c.party)
        with self.reading() as session:
            found = session.core.execute(select(_DONE).where(_DONE.c.id.in_(latest)))
            return {party.party: party for party in map(_party_round, found)}

    def marked(self, task: TaskDigest, code: str) -> frozenset[PartyId]:
        """Parties of which a training attempt that failed says `code`."""
        with self.reading() as session:
            found = session.core.execute(MARKED, {"of_task": task, "of_kind": "train", "of_code": code})
            return frozenset(PartyId(party) for party in found.scalars())

    def refusals(self, task: TaskDigest) -> list[PartyRound]:
        """Those of `party_rounds` in which the party did not contribute."""
        return [party for party in self.party_rounds(task) if party.outcome != ANSWERED]

    def _close(
        self, session: Transaction, key: tuple[TaskDigest, str, int], state: str, reasons: Mapping[str, str]
    ) -> int:
        """End an open attempt, or `StoreError`; the round for which it was begun."""
        which = dict(zip(("of_task", "of_kind", "of_number"), key, strict=True))
        row = session.core.execute(STATE, which).first()
        if row is None or row.state != OPEN:
            raise StoreError(
                f"{key[1]} attempt {key[2]} is {row.state if row else 'unknown'}, not open; nothing changed."
            )
        ended = {"state": state, "ended_at": self.clock(), "reasons": json.dumps(dict(reasons))}
        session.core.execute(END, which | ended)
        return int(row.round)

    def _give_up_rest(self, session: Transaction, task: TaskDigest) -> None:
        """End what a crash left open about a training attempt that is over, so that its bytes are on record."""
        for row in session.core.execute(LEFT_OPEN, {"of_task": task}).all():
            key = (task, row.kind, row.number)
            self._add_parties(session, key, self._close(session, key, FAILED, {}), ())

    def _add_parties(
        self, session: Transaction, key: tuple[TaskDigest, str, int], round: int, parties: Sequence[PartyRound]
    ) -> None:
        """What each of `parties` did in an attempt at `round`, with the bytes that it took."""
        task, kind, attempt = key
        same = {"task": task, "kind": kind, "attempt": attempt, "round": round, "at": self.clock()}
        if did := on_the_way.taken(session, key, parties):
            session.core.execute(DID, [vars(party) | same for party in did])


def lock(session: Transaction, task: TaskDigest) -> None:
    """Let nobody else begin or end anything about a task until the transaction ends; `StoreError` if there is none."""
    if session.core.execute(LOCK, {"of_task": task}).first() is None:
        raise StoreError(f"there is no task with digest {task[:16]}… here.")


def traffic(session: Transaction, task: TaskDigest, since_round: int) -> dict[int, Traffic]:
    """See `Attempts.traffic`."""
    found = session.core.execute(TRAFFIC, {"of_task": task, "since": since_round})
    return {round: Traffic(*(int(count) for count in counts)) for round, *counts in found}


def _next(session: Transaction, task: TaskDigest, kind: str) -> int:
    last = session.core.execute(NEWEST, {"of_task": task, "of_kind": kind}).scalar()
    return 0 if last is None else int(last) + 1


def _open(session: Transaction, task: TaskDigest, kind: str) -> Row[Any] | None:
    return session.core.execute(IN_WORK, {"of_task": task, "of_kind": kind}).first()


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(**row._asdict() | {"reasons": json.loads(row.reasons)})


def _party_round(row: Row[Any]) -> PartyRound:
    words = row._asdict()
    del words["task"], words["id"]
    return PartyRound(**words)
