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
from sqlalchemy import bindparam, func, insert
from sqlalchemy import select as columns_of
from sqlmodel import col, select

from clients.store.chain import Body, link_hash, require_link
from clients.store.database import Transaction
from clients.store.prepared import prepared
from clients.store.tables import LedgerRow, SecretRow
from federation.ids import GENESIS, LedgerHead, TaskDigest

LOG = "ledger"
Row = dict[str, Any]
"""The columns of a `LedgerRow`."""

COLUMNS = tuple(LedgerRow.__table__.c.keys())
TERMS = ("task", "attempt", "step", "sampling_rate", "noise_multiplier")
_SAME = (col(LedgerRow.task) == bindparam("task"), col(LedgerRow.step) == bindparam("step"))
LAST = prepared(select(LedgerRow.number, LedgerRow.hash).order_by(col(LedgerRow.number).desc()).limit(1))
HASH = prepared(select(LedgerRow.hash).where(col(LedgerRow.number) == bindparam("number")))
HOLDS = prepared(select(LedgerRow.number).where(col(LedgerRow.hash) == bindparam("head")))
ATTEMPTS = prepared(select(LedgerRow.attempt).where(*_SAME))
RESERVED = prepared(select(LedgerRow.number).where(*_SAME, col(LedgerRow.attempt) == bindparam("attempt")))
CHARGES = prepared(select(func.count()).select_from(LedgerRow).where(*_SAME))
AFTER = prepared(
    columns_of(*LedgerRow.__table__.c)
    .where(col(LedgerRow.number) > bindparam("number"))
    .order_by(col(LedgerRow.number))
)
WRITE = prepared(insert(LedgerRow))
KEY = prepared(select(SecretRow.key).where(col(SecretRow.name) == "snapshots"))


@dataclass(frozen=True)
class Reserved:
    """One Poisson-sampled mechanism charged to `people` for an attempt at a step; `levels` are 0 for Gaussian noise."""

    task: TaskDigest
    attempt: int
    step: str
    sampling_rate: float
    noise_multiplier: float
    people: BitMap
    levels: int = 0


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


def last(tx: Transaction) -> tuple[int, LedgerHead]:
    """Number and hash of the last row; 0 and genesis for an empty ledger."""
    return tx.first(LAST) or (0, GENESIS)


def hash_of(tx: Transaction, number: int) -> LedgerHead | None:
    """Hash of row `number`, genesis for 0, None where there is no such row."""
    found = (GENESIS,) if number == 0 else tx.first(HASH, number=number)
    return LedgerHead(found[0]) if found else None


def holds(tx: Transaction, head: LedgerHead) -> bool:
    """Whether `head` is genesis or the hash of one of our rows."""
    return head == GENESIS or tx.first(HOLDS, head=head) is not None


def reserved(tx: Transaction, task: TaskDigest, attempt: int, step: str) -> bool:
    """Whether this attempt at this step was charged already."""
    return tx.first(RESERVED, task=task, attempt=attempt, step=step) is not None


def attempts_of(tx: Transaction, task: TaskDigest, step: str) -> frozenset[int]:
    """Every attempt of a task that was charged at this step."""
    return frozenset(attempt for (attempt,) in tx.rows(ATTEMPTS, task=task, step=step))


def charges_of(tx: Transaction, task: TaskDigest, step: str) -> int:
    """How many attempts of a task were charged at this step."""
    ((count,),) = tx.rows(CHARGES, task=task, step=step)
    return int(count)


def append(tx: Transaction, charge: Reserved | Carried, at: int) -> Entry:
    """Write one row after the last one."""
    number, previous = last(tx)
    row = _row(charge, number + 1, previous, at)
    head = LedgerHead(link_hash(LOG, previous, _body(row, key(tx))))
    tx.rows(WRITE, **row, hash=head)
    return Entry(number + 1, head, at, charge)


def entries_after(tx: Transaction, number: int, head: LedgerHead) -> Iterator[Entry]:
    """Rows after `number`, whose hash is `head`, each checked against its content and the row before."""
    previous, secret = head, key(tx)
    for place, found in enumerate(tx.rows(AFTER, number=number), start=number + 1):
        row = dict(zip(COLUMNS, found, strict=True))
        expected = LedgerHead(link_hash(LOG, previous, _body(row, secret)))
        require_link(LOG, place, (row["previous_hash"], row["hash"]), previous, expected)
        previous = expected
        yield Entry(row["number"], previous, row["at"], _charge(row))


def _row(charge: Reserved | Carried, number: int, previous: LedgerHead, at: int) -> Row:
    """All columns but ``hash``."""
    content: Row = {"entry": "carry", "curve": None, "levels": None} | dict.fromkeys(TERMS)
    if isinstance(charge, Reserved):
        content |= {"entry": "reservation"} | {name: getattr(charge, name) for name in TERMS}
        content["levels"] = charge.levels or None
    else:
        content["curve"] = json.dumps(charge.curve)
    people = charge.people.serialize()
    return content | {"number": number, "people": people, "at": at, "previous_hash": previous}


def _body(row: Row, secret: bytes) -> Body:
    body: Body = {name: row[name] for name in ("number", "entry", "curve", "at", *TERMS)}
    if row["levels"] is not None:  # rows from before there were levels keep their hash
        body["levels"] = row["levels"]
    return body | {"people_hmac": hmac.new(secret, b"ledger" + row["people"], hashlib.sha256).hexdigest()}


def key(tx: Transaction) -> bytes:
    """The key of commitments to snapshots and to who was charged, 32 bytes."""
    ((text,),) = tx.rows(KEY)
    return bytes.fromhex(text)


def _charge(row: Row) -> Reserved | Carried:
    people = BitMap.deserialize(row["people"])
    if row["entry"] == "carry":
        return Carried(tuple(json.loads(row["curve"] or "[]")), people)
    return Reserved(
        TaskDigest(row["task"] or ""),
        row["attempt"] or 0,
        row["step"] or "",
        row["sampling_rate"] or 0.0,
        row["noise_multiplier"] or 0.0,
        people,
        row["levels"] or 0,
    )
