"""The coordinator's log of what it did: entries in order, each a leaf of a Merkle tree."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, func, insert, update
from sqlmodel import col, select

from federation import audit, canonical
from server.store.database import Database, Transaction
from server.store.records import AuditEntry
from server.store.tables import AuditTable, CounterTable

TAKE = update(CounterTable).where(col(CounterTable.name) == bindparam("of_name")).values(value=CounterTable.value + 1)
TAKEN = select(CounterTable.value).where(col(CounterTable.name) == bindparam("of_name"))
WRITE = insert(AuditTable)


class AuditLog(Database):
    """Appending to the log and reading it."""

    def audit(self, kind: str, body: Mapping[str, Any]) -> int:
        """Append one entry; returns its number, counted from 0 without gaps."""
        with self.transaction() as session:
            return self.append(session, kind, body)

    def append(self, session: Transaction, kind: str, body: Mapping[str, Any]) -> int:
        """Append within a transaction, so that an entry exists exactly if what it tells about does."""
        number, at = self.take_number(session, "audit"), self.clock()
        text = canonical.dumps({"at": at.isoformat(), "body": dict(body), "kind": kind, "number": number})
        leaf = audit.leaf_hash(text).hex()
        words = {"number": number, "at": at, "kind": kind, "body": text.decode(), "leaf": leaf}
        session.core.execute(WRITE, words)
        return number

    def take_number(self, session: Transaction, name: str) -> int:
        """The next number of the counter `name`, from 0; locked until the transaction ends."""
        session.core.execute(TAKE, {"of_name": name})
        return int(session.core.execute(TAKEN, {"of_name": name}).scalar_one()) - 1

    def audit_entries(self, first: int = 0, count: int = 1000) -> list[AuditEntry]:
        """Entries from number `first` on."""
        query = select(AuditTable).where(col(AuditTable.number) >= first).order_by(col(AuditTable.number)).limit(count)
        with self.reading() as session:
            return [
                AuditEntry(number=row.number, at=row.at, kind=row.kind, body=row.body, leaf=row.leaf)
                for row in session.exec(query)
            ]

    def audit_size(self) -> int:
        """How many entries the log has."""
        with self.reading() as session:
            return session.exec(select(func.count(col(AuditTable.number)))).one()
