"""The rows of the log of consent: appended, chained, read, never changed."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import bindparam, insert
from sqlalchemy import select as columns_of
from sqlmodel import Session, col, func, select

from clients.store.chain import link_hash, require_link
from clients.store.database import Transaction
from clients.store.moments import FOREVER, from_micros
from clients.store.prepared import prepared
from clients.store.records import ConsentEvent
from clients.store.tables import ConsentRow
from federation.consent import Purpose
from federation.ids import GENESIS, PersonNumber

LOG = "log of consent"
Window = tuple[int, int, str, int, int, int, int]
"""The columns of `WINDOW`."""

WINDOW = ("sequence", "person", "purpose", "at", "counts_from", "counts_until", "of_age_years")

CONTENT = (
    "sequence",
    "person",
    "purpose",
    "state",
    "actor",
    "of_age_years",
    "notice_version",
    "at",
    "recorded_at",
    "counts_from",
    "counts_until",
    "evidence",
)
LAST = prepared(select(ConsentRow.sequence, ConsentRow.hash).order_by(col(ConsentRow.sequence).desc()).limit(1))
HASH = prepared(select(ConsentRow.hash).where(col(ConsentRow.sequence) == bindparam("sequence")))
WINDOWS = prepared(
    columns_of(*(ConsentRow.__table__.c[name] for name in WINDOW))
    .where(col(ConsentRow.sequence) > bindparam("sequence"))
    .order_by(col(ConsentRow.sequence))
)


def last(tx: Transaction) -> tuple[int, str]:
    """Sequence and hash of the last event; 0 and genesis for an empty log."""
    return tx.first(LAST) or (0, GENESIS)


def append(tx: Transaction, statements: Sequence[dict[str, Any]]) -> None:
    """Write events (all of `CONTENT` but ``sequence``) after the last one, in order."""
    sequence, previous = last(tx)
    rows = []
    for place, statement in enumerate(statements, start=sequence + 1):
        body = {"sequence": place, **statement}
        chained = link_hash(LOG, previous, body)
        rows.append({**body, "previous_hash": previous, "hash": chained})
        previous = chained
    if rows:
        tx.connection().execute(insert(ConsentRow), rows)


def windows_after(tx: Transaction, sequence: int) -> Sequence[Window]:
    """Every event after `sequence`, in order, as far as it decides who is eligible."""
    return tx.rows(WINDOWS, sequence=sequence)


def hash_of(tx: Transaction, sequence: int) -> str | None:
    """Hash of event `sequence`, genesis for 0, None where there is no such event."""
    found = (GENESIS,) if sequence == 0 else tx.first(HASH, sequence=sequence)
    return str(found[0]) if found else None


def events(tx: Session, person: PersonNumber | None = None) -> Iterator[ConsentEvent]:
    """All events, or those of one person, in order."""
    query = select(ConsentRow).order_by(col(ConsentRow.sequence))
    if person is not None:
        query = query.where(ConsentRow.person == person)
    return (_event(row) for row in tx.exec(query))


def count(tx: Session) -> int:
    """How many events there are."""
    return tx.exec(select(func.count()).select_from(ConsentRow)).one()


def verify(tx: Session) -> int:
    """Raise `StoreError` at the first event that is not as it was written; otherwise how many there are."""
    previous, place = str(GENESIS), 0
    for row in tx.exec(select(ConsentRow).order_by(col(ConsentRow.sequence))):
        place += 1
        expected = link_hash(LOG, previous, {name: getattr(row, name) for name in CONTENT})
        require_link(LOG, place, (row.previous_hash, row.hash), previous, expected)
        previous = row.hash
    return place


def _event(row: ConsentRow) -> ConsentEvent:
    permits = row.counts_until > row.counts_from
    return ConsentEvent(
        sequence=row.sequence,
        person=PersonNumber(row.person),
        purpose=Purpose(row.purpose),
        state=row.state,
        actor=row.actor,
        of_age_years=row.of_age_years,
        notice_version=row.notice_version,
        at=from_micros(row.at),
        recorded_at=from_micros(row.recorded_at),
        counts_from=from_micros(row.counts_from) if permits else None,
        counts_until=from_micros(row.counts_until) if permits and row.counts_until < FOREVER else None,
        evidence=row.evidence,
    )
