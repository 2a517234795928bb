"""How the rows of a log are chained: each row's hash commits to all rows before it."""

import hashlib
from typing import Protocol

from federation import canonical
from federation.errors import StoreError

Body = dict[str, str | int | float | None]
"""The content of a row that its hash covers."""


class Linked(Protocol):
    """A row of a chained log."""

    previous_hash: str
    hash: str


def link_hash(log: str, previous: str, body: Body) -> str:
    """SHA-256 over the log's name, the hash of the row before and the row's content, as canonical JSON."""
    return hashlib.sha256(canonical.dumps({"log": log, "previous": previous, "body": body})).hexdigest()


def require_link(log: str, number: int, row: Linked, previous: str, expected: str) -> None:
    """Raise `StoreError` unless `row` follows on `previous` and its content hashes to what it says."""
    if row.previous_hash != previous or row.hash != expected:
        raise StoreError(
            f"entry {number} of the {log} is not what was written: somebody edited the file. Nothing was changed; "
            "put the newest untouched copy of node.sqlite back."
        )
