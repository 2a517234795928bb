"""The rows of the budget ledger: appended, chained, read, never changed.

The chain's head travels with every answer, so who was charged goes into it under a key of this node: from a plain hash
others could find out by trying who, and how many, it was.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap
from sqlalchemy import func
from sqlmodel import Session, col, select

from clients.store.chain import Body, link_hash, require_link
from clients.store.tables import LedgerRow, SecretRow
from federation.ids import GENESIS, LedgerHead, TaskDigest

LOG = "ledger"
TERMS = ("task", "attempt", "step", "sampling_rate", "noise_multiplier")


@dataclass(frozen=True)
class Reserved:
    """One Poisson-sampled Gaussian charged to `people` for an attempt at a step."""

    task: TaskDigest
    attempt: int
    step: str
    sampling_rate: float
    noise_multiplier: float
    people: BitMap


@dataclass(frozen=True)
class Carried:
    """What a returning person had spent before being erased, as an RDP curve; charged to the new number."""

    curve: tuple[float, ...]
    people: BitMap


@dataclass(frozen=True)
class Entry:
    """A row of the ledger with its place in the chain."""

    number: int
    head: LedgerHead
    at: int
    charge: Reserved | Carried


def last(tx: Session) -> tuple[int, LedgerHead]:
    """Number and hash of the last row; 0 and genesis for an empty ledger."""
    row = tx.exec(select(LedgerRow.number, LedgerRow.hash).order_by(col(LedgerRow.number).desc()).limit(1)).first()
    return (row[0], LedgerHead(row[1])) if row else (0, GENESIS)


def hash_of(tx: Session, number: int) -> LedgerHead | None:
    """Hash of row `number`, genesis for 0, None where there is no such row."""
    if number == 0:
        return GENESIS
    found = tx.exec(select(LedgerRow.hash).where(LedgerRow.number == number)).first()
    return LedgerHead(found) if found else None


def holds(tx: Session, head: LedgerHead) -> bool:
    """Whether `head` is genesis or the hash of one of our rows."""
    return head == GENESIS or tx.exec(select(LedgerRow.number).where(LedgerRow.hash == head)).first() is not None


def reserved(tx: Session, task: TaskDigest, attempt: int, step: str) -> bool:
    """Whether this attempt at this step was charged already."""
    same = select(LedgerRow.number).where(LedgerRow.task == task, LedgerRow.attempt == attempt, LedgerRow.step == step)
    return tx.exec(same).first() is not None


def attempts_of(tx: Session, task: TaskDigest, step: str) -> frozenset[int]:
    """Every attempt of a task that was charged at this step."""
    found = tx.exec(select(LedgerRow.attempt).where(LedgerRow.task == task, LedgerRow.step == step))
    return frozenset(attempt for attempt in found if attempt is not None)


def charges_of(tx: Session, task: TaskDigest, step: str) -> int:
    """How many attempts of a task were charged at this step."""
    same = (LedgerRow.task == task, LedgerRow.step == step)
    return tx.exec(select(func.count()).select_from(LedgerRow).where(*same)).one()


def append(tx: Session, charge: Reserved | Carried, at: int) -> Entry:
    """Write one row after the last one."""
    number, previous = last(tx)
    row = _row(charge, number + 1, previous, at)
    row.hash = link_hash(LOG, previous, _body(row, _key(tx)))
    tx.add(row)
    tx.flush()
    return Entry(row.number, LedgerHead(row.hash), at, charge)


def entries_after(tx: Session, number: int, head: LedgerHead) -> Iterator[Entry]:
    """Rows after `number`, whose hash is `head`, each checked against its content and the row before."""
    previous, key = head, _key(tx)
    rows = tx.exec(select(LedgerRow).where(LedgerRow.number > number).order_by(col(LedgerRow.number)))
    for place, row in enumerate(rows, start=number + 1):
        require_link(LOG, place, row, previous, link_hash(LOG, previous, _body(row, key)))
        previous = LedgerHead(row.hash)
        yield Entry(row.number, previous, row.at, _charge(row))


def _row(charge: Reserved | Carried, number: int, previous: LedgerHead, at: int) -> LedgerRow:
    content: dict[str, Any] = {"entry": "carry", "curve": None} | dict.fromkeys(TERMS)
    if isinstance(charge, Reserved):
        content |= {"entry": "reservation"} | {name: getattr(charge, name) for name in TERMS}
    else:
        content["curve"] = json.dumps(charge.curve)
    people = charge.people.serialize()
    return LedgerRow(**content, number=number, people=people, at=at, previous_hash=previous, hash="")


def _body(row: LedgerRow, key: bytes) -> Body:
    body: Body = {name: getattr(row, name) for name in ("number", "entry", "curve", "at", *TERMS)}
    return body | {"people_hmac": hmac.new(key, b"ledger" + row.people, hashlib.sha256).hexdigest()}


def _key(tx: Session) -> bytes:
    return bytes.fromhex(tx.get_one(SecretRow, "snapshots").key)


def _charge(row: LedgerRow) -> Reserved | Carried:
    people = BitMap.deserialize(row.people)
    if row.entry == "carry":
        return Carried(tuple(json.loads(row.curve or "[]")), people)
    return Reserved(
        TaskDigest(row.task or ""),
        row.attempt or 0,
        row.step or "",
        row.sampling_rate or 0.0,
        row.noise_multiplier or 0.0,
        people,
    )
