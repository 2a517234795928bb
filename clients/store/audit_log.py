"""The node's audit log: what happened, each entry a leaf of a Merkle tree (RFC 9162)."""

from collections.abc import Iterator

from sqlalchemy import insert
from sqlmodel import Session, col, func, select

from clients.store.database import Transaction
from clients.store.moments import from_micros
from clients.store.prepared import prepared
from clients.store.records import AuditEntry
from clients.store.tables import AuditRow
from federation import canonical
from federation.audit import leaf_hash
from federation.errors import StoreError

Body = dict[str, str | int | float | bool | None]
NEXT = prepared(select(func.coalesce(func.max(AuditRow.number), 0) + 1))
WRITE = prepared(insert(AuditRow))


def append(tx: Transaction, kind: str, body: Body, at: int) -> None:
    """Write one entry after the last one."""
    ((number,),) = tx.rows(NEXT)
    text = canonical.dumps(body).decode()
    tx.rows(WRITE, number=number, at=at, kind=kind, body=text, leaf=_leaf(number, at, kind, text).hex())


def entries(tx: Session) -> Iterator[AuditEntry]:
    """All entries, in order."""
    rows = tx.exec(select(AuditRow).order_by(col(AuditRow.number)))
    return (AuditEntry(row.number, from_micros(row.at), row.kind, row.body, bytes.fromhex(row.leaf)) for row in rows)


def verify(tx: Session) -> int:
    """Raise `StoreError` at the first entry that is not as it was written; otherwise how many there are.

    An edit that also mends the leaf is found by a checkpoint that somebody else holds (`federation.audit`).
    """
    place = 0
    for row in tx.exec(select(AuditRow).order_by(col(AuditRow.number))):
        place += 1
        if row.number != place or row.leaf != _leaf(row.number, row.at, row.kind, row.body).hex():
            raise StoreError(
                f"entry {place} of the audit log is not what was written: somebody edited the file. "
                "Put the newest untouched copy of node.sqlite back."
            )
    return place


def _leaf(number: int, at: int, kind: str, body: str) -> bytes:
    return leaf_hash(canonical.dumps({"number": number, "at": at, "kind": kind, "body": body}))
