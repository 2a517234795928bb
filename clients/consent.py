"""What people allow: an append-only log of their statements, and who may be used for a purpose at a moment.

The latest statement of a person about a purpose holds. Only *given* and *renewed* permit, from the moment they are
made until they end; for people below the age of consent only a guardian can give them. What is unknown is refused.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from pyroaring import BitMap

from clients.permissions import ConsentIndex
from clients.statements import ConsentStatement, Judge
from clients.store import ConsentEvent, NodeStore, audit_log, consent_log, registry, variates
from clients.store.database import Transaction
from clients.store.moments import FOREVER, to_micros
from federation import canonical
from federation.consent import AGE_OF_CONSENT_YEARS, PERMITTING, ConsentState, Purpose
from federation.errors import Refused
from federation.ids import PersonNumber, TaskDigest

Row = dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """Who may be used for `purpose` at `at`. `digest` commits to it under a key of this node: it may travel."""

    people: BitMap = field(repr=False)
    at: datetime
    purpose: Purpose
    digest: str


def record(store: NodeStore, statement: ConsentStatement, age_of_consent_years: int = AGE_OF_CONSENT_YEARS) -> None:
    """Append one statement, or `Refused` with what is missing."""
    record_all(store, [statement], age_of_consent_years)


def record_all(
    store: NodeStore, statements: Sequence[ConsentStatement], age_of_consent_years: int = AGE_OF_CONSENT_YEARS
) -> None:
    """Append all statements, or `Refused` and none."""
    with store.transaction() as tx, store.identities.transaction() as ids:
        judge = _judge(store, tx, ids, statements, age_of_consent_years)
        rows: list[Row] = []
        for statement in statements:
            if judge.learn(statement):
                claimed = judge.claimed_too_young(statement.person)
                rows += _ended(statement.person, claimed, ConsentState.INVALIDATED, statement.at)
        for statement in statements:
            of_age_years = judge.take(statement)
            evidence = registry.keep_evidence(ids, statement.person, statement.evidence)
            rows.append(_row(statement, of_age_years, evidence))
        registry.set_births(ids, judge.births)
        _write(store, tx, rows)


def problems(
    store: NodeStore, statements: Sequence[ConsentStatement], newcomers: BitMap, age_of_consent_years: int
) -> dict[int, str]:
    """What is wrong with which of `statements`, writing nothing; `newcomers` count as known."""
    found: dict[int, str] = {}
    with store.reading() as tx, store.identities.reading() as ids:
        judge = _judge(store, tx, ids, statements, age_of_consent_years)
        judge.known.update(newcomers)
        for look in (judge.learn, judge.take):
            for place, statement in enumerate(statements):
                try:
                    look(statement)
                except Refused as error:
                    found.setdefault(place, str(error))
    return found


def end_all(store: NodeStore, tx: Transaction, person: PersonNumber, at: datetime) -> None:
    """Withdraw every purpose that a person permits, within the caller's transaction."""
    permitted_now = _followed(store, tx).permitted_purposes(person)
    _write(store, tx, _ended(person, permitted_now, ConsentState.WITHDRAWN, at))


def eligible(
    store: NodeStore,
    purpose: Purpose,
    at: datetime,
    task: TaskDigest | None = None,
    age_of_consent_years: int = AGE_OF_CONSENT_YEARS,
) -> Snapshot:
    """People whose latest statement permits `purpose` at `at`; minors only with a guardian's statement."""
    with store.reading() as tx:
        people = _followed(store, tx).permitting(purpose, to_micros(at), age_of_consent_years)
        snapshot = Snapshot(people, at, purpose, "")
        return replace(snapshot, digest=commitment(store, snapshot, task))


def permitted(
    store: NodeStore,
    purpose: Purpose,
    at: datetime,
    people: BitMap,
    age_of_consent_years: int = AGE_OF_CONSENT_YEARS,
) -> BitMap:
    """Those of `people` who still permit `purpose` at `at`; reads only what was recorded since the last time."""
    with store.reading() as tx:
        return _followed(store, tx).still_permitting(people, purpose, to_micros(at), age_of_consent_years)


def commitment(store: NodeStore, snapshot: Snapshot, task: TaskDigest | None = None) -> str:
    """HMAC of task, purpose, moment and people under a key of this node: nobody else can try out who it was."""
    said = canonical.dumps({"task": task, "purpose": snapshot.purpose, "at": to_micros(snapshot.at)})
    numbers = np.asarray(snapshot.people.to_array()).astype("<u4").tobytes()
    return hmac.new(store.snapshot_key(), said + numbers, hashlib.sha256).hexdigest()


def history(store: NodeStore, person: PersonNumber) -> tuple[ConsentEvent, ...]:
    """Everything that was said about a person, in order."""
    with store.reading() as tx:
        return tuple(consent_log.events(tx, person))


def _followed(store: NodeStore, tx: Transaction) -> ConsentIndex:
    return store.followed(ConsentIndex, tx)


def _judge(
    store: NodeStore, tx: Transaction, ids: Transaction, statements: Sequence[ConsentStatement], years: int
) -> Judge:
    people = {statement.person for statement in statements}
    known, births = registry.known(tx, people), registry.births(ids, people)
    return Judge(_followed(store, tx), known, births, store.clock(), years)


def _row(statement: ConsentStatement, of_age_years: int, evidence: str) -> Row:
    permits = statement.state in PERMITTING
    start = max(statement.at, statement.valid_from or statement.at)
    return {
        "person": statement.person,
        "purpose": statement.purpose.value,
        "state": statement.state.value,
        "actor": statement.actor.value,
        "of_age_years": of_age_years,
        "notice_version": statement.notice_version,
        "at": to_micros(statement.at),
        "counts_from": to_micros(start) if permits else 0,
        "counts_until": (to_micros(statement.valid_until) if statement.valid_until else FOREVER) if permits else 0,
        "evidence": evidence,
    }


def _ended(person: PersonNumber, purposes: Iterable[Purpose], state: ConsentState, at: datetime) -> list[Row]:
    return [
        _row(ConsentStatement(person=person, purpose=purpose, state=state, at=at, notice_version=""), 0, "")
        for purpose in purposes
    ]


def _write(store: NodeStore, tx: Transaction, rows: Sequence[Row]) -> None:
    now = to_micros(store.clock())
    consent_log.append(tx, [{**row, "recorded_at": now} for row in rows])
    for purpose in {row["purpose"] for row in rows if not row["counts_until"]}:
        ended = BitMap(row["person"] for row in rows if row["purpose"] == purpose and not row["counts_until"])
        variates.forget_people(tx, ended, Purpose(purpose))
    if rows:
        sequence, chained = consent_log.last(tx)
        audit_log.append(tx, "consent", {"events": len(rows), "last": sequence, "hash": chained}, now)
