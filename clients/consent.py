"""What people allow: an append-only log of their statements, and who may be used for a purpose at a moment.

The latest statement of a person about a purpose holds. Only *given* and *renewed* permit, from the moment they are
made until they end; for people below the age of consent only a guardian can give them. What is unknown is refused.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import rfc8785
from pyroaring import BitMap

from clients.permissions import ConsentIndex
from clients.store import ConsentEvent, NodeStore, audit_log, consent_log, registry
from clients.store.database import Transaction
from clients.store.moments import FOREVER, to_micros
from clients.store.tables import GUARDED
from federation.consent import AGE_OF_CONSENT_YEARS, PERMITTING, Actor, ConsentState, Purpose
from federation.errors import Refusal, Refused
from federation.ids import PersonNumber, TaskDigest

CLOCK_TOLERANCE = timedelta(seconds=60)
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ConsentStatement:
    """What a person (or a guardian) said on a purpose at a moment.

    A permitting statement needs `born` (kept erasably, once is enough) or `adult`: of an unknown age only a guardian
    may permit. It holds from `valid_from` (default: `at`) until `valid_until` (default: until another statement).
    `evidence` says where the proof is; the log keeps a salted hash of it, the text is erasable.
    """

    person: PersonNumber
    purpose: Purpose
    state: ConsentState
    actor: Actor = Actor.PERSON
    at: datetime
    notice_version: str
    born: date | None = None
    adult: bool = False
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    evidence: str = ""

    def __post_init__(self) -> None:
        for moment in (self.at, self.valid_from or self.at, self.valid_until or self.at):
            to_micros(moment)


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
        index = _followed(store, tx)
        people = {statement.person for statement in statements}
        births = registry.births(ids, people)
        _require_known(registry.known(tx, people), statements)
        _require_order(index, statements, store.clock())
        rows: list[Row] = []
        for statement in statements:
            if _learn_birth(births, statement, age_of_consent_years):
                rows += _ended(index, statement.person, False, ConsentState.INVALIDATED, statement.at)
            proof = registry.new_evidence(statement.person, statement.evidence)
            registry.add_evidence(ids, proof)
            rows.append(_row(statement, births.get(statement.person), age_of_consent_years, proof.commitment))
        registry.set_births(ids, births)
        _write(store, tx, rows)


def end_all(store: NodeStore, tx: Transaction, person: PersonNumber, at: datetime) -> None:
    """Withdraw every purpose that a person permits, within the caller's transaction."""
    _write(store, tx, _ended(_followed(store, tx), person, True, ConsentState.WITHDRAWN, at))


def eligible(
    store: NodeStore,
    purpose: Purpose,
    at: datetime,
    task: TaskDigest | None = None,
    age_of_consent_years: int = AGE_OF_CONSENT_YEARS,
) -> Snapshot:
    """People whose latest statement permits `purpose` at `at`; minors only with a guardian's statement."""
    snapshot = Snapshot(_permitting(store, purpose, at, age_of_consent_years), at, purpose, "")
    return replace(snapshot, digest=commitment(store, snapshot, task))


def permitted(
    store: NodeStore,
    purpose: Purpose,
    at: datetime,
    people: BitMap,
    age_of_consent_years: int = AGE_OF_CONSENT_YEARS,
) -> BitMap:
    """Those of `people` who still permit `purpose` at `at`; reads only what was recorded since the last time."""
    return people & _permitting(store, purpose, at, age_of_consent_years)


def commitment(store: NodeStore, snapshot: Snapshot, task: TaskDigest | None = None) -> str:
    """HMAC of task, purpose, moment and people under a key of this node: nobody else can try out who it was."""
    said = rfc8785.dumps({"task": task, "purpose": snapshot.purpose, "at": to_micros(snapshot.at)})
    numbers = np.asarray(snapshot.people.to_array()).astype("<u4").tobytes()
    return hmac.new(store.snapshot_key(), said + numbers, hashlib.sha256).hexdigest()


def history(store: NodeStore, person: PersonNumber) -> tuple[ConsentEvent, ...]:
    """Everything that was said about a person, in order."""
    with store.reading() as tx:
        return tuple(consent_log.events(tx, person))


def _followed(store: NodeStore, tx: Transaction) -> ConsentIndex:
    index = store.index(ConsentIndex)
    index.follow(tx)
    return index


def _permitting(store: NodeStore, purpose: Purpose, at: datetime, age_of_consent_years: int) -> BitMap:
    with store.reading() as tx:
        return _followed(store, tx).permitting(purpose, to_micros(at), age_of_consent_years)


def _require_known(known: BitMap, statements: Sequence[ConsentStatement]) -> None:
    for statement in statements:
        if statement.person not in known:
            raise _refused(statement, "this node knows no such person (or they were erased); import their data first")


def _require_order(index: ConsentIndex, statements: Sequence[ConsentStatement], now: datetime) -> None:
    """An old form that is typed in late must not undo a withdrawal that was made after it."""
    latest: dict[tuple[PersonNumber, Purpose], int] = {}
    for statement in statements:
        key = (statement.person, statement.purpose)
        before = latest.get(key, index.latest_at(*key))
        latest[key] = to_micros(statement.at)
        if statement.state in PERMITTING and latest[key] < before:
            raise _refused(statement, f"it was made at {statement.at}, before one that is recorded already")
        if statement.at > now + CLOCK_TOLERANCE:
            raise _refused(statement, f"it was made at {statement.at}, which is in the future; check the clock")


def _learn_birth(births: dict[PersonNumber, date], statement: ConsentStatement, age_of_consent_years: int) -> bool:
    """Take `born` into `births`; whether that shows somebody to be a minor of whom it was not known."""
    before = births.get(statement.person)
    if statement.born is None or statement.born == before:
        return False
    if before is not None:
        raise _refused(statement, "it names another date of birth than the one recorded; find out which is right")
    births[statement.person] = statement.born
    return not _of_age(statement.born, statement.at, age_of_consent_years)


def _of_age(born: date, at: datetime, years: int) -> bool:
    day = at.date()
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day)) >= years


def _row(statement: ConsentStatement, born: date | None, age_of_consent_years: int, evidence: str) -> Row:
    permits = statement.state in PERMITTING
    start = max(statement.at, statement.valid_from or statement.at)
    if statement.valid_until is not None and statement.valid_until <= (statement.valid_from or statement.at):
        raise _refused(statement, f"it ends at {statement.valid_until}, before it begins")
    return {
        "person": statement.person,
        "purpose": statement.purpose.value,
        "state": statement.state.value,
        "actor": statement.actor.value,
        "of_age_years": _established_age(statement, born, age_of_consent_years) if permits else 0,
        "notice_version": statement.notice_version,
        "at": to_micros(statement.at),
        "counts_from": to_micros(start) if permits else 0,
        "counts_until": (to_micros(statement.valid_until) if statement.valid_until else FOREVER) if permits else 0,
        "evidence": evidence,
    }


def _established_age(statement: ConsentStatement, born: date | None, age_of_consent_years: int) -> int:
    """The limit of age that was checked, or `GUARDED`; `Refused` if this actor may not permit for this person."""
    adult = statement.adult if born is None else _of_age(born, statement.at, age_of_consent_years)
    if statement.actor is Actor.GUARDIAN:
        if adult:
            raise _refused(statement, "the person is of age: nobody else can permit for them")
        return GUARDED
    if born is not None and not adult:
        raise _refused(statement, f"the person is under {age_of_consent_years}: a guardian has to state it")
    if not adult:
        raise _refused(statement, "the person's age is unknown: give the date of birth, or state that they are adult")
    return age_of_consent_years


def _ended(
    index: ConsentIndex, person: PersonNumber, by_guardian: bool, state: ConsentState, at: datetime
) -> list[Row]:
    """Statements that end what a person permits; `by_guardian`: also what a guardian permitted."""
    ended = [
        ConsentStatement(person=person, purpose=purpose, state=state, at=at, notice_version="")
        for purpose in index.permitted_purposes(person, by_guardian)
    ]
    return [_row(statement, None, AGE_OF_CONSENT_YEARS, "") for statement in ended]


def _write(store: NodeStore, tx: Transaction, rows: Sequence[Row]) -> None:
    now = to_micros(store.clock())
    consent_log.append(tx, [{**row, "recorded_at": now} for row in rows])
    if rows:
        sequence, chained = consent_log.last(tx)
        audit_log.append(tx, "consent", {"events": len(rows), "last": sequence, "hash": chained}, now)


def _refused(statement: ConsentStatement, why: str) -> Refused:
    return Refused(
        Refusal.NO_CONSENT,
        f"the statement {statement.state} on {statement.purpose} by person {statement.person} was not recorded: {why}.",
    )
