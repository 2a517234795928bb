"""How the rows of a log are chained: each row's hash commits to all rows before it."""

import hashlib

from federation import canonical
from federation.errors import StoreError

Body = dict[str, str | int | float | None]
"""The content of a row that its hash covers."""


def link_hash(log: str, previous: str, body: Body) -> str:
    """SHA-256 over the log's name, the hash of the row before and the row's content, as canonical JSON."""
    return hashlib.sha256(canonical.dumps({"log": log, "previous": previous, "body": body})).hexdigest()


def require_link(log: str, number: int, said: tuple[str, str], previous: str, expected: str) -> None:
    """Raise `StoreError` unless a row follows on `previous` and its content hashes to what it says.

    `said`: the hash of the row before and its own, as they stand in the row.
    """
    if said != (previous, expected):
        raise StoreError(
            f"entry {number} of the {log} is not what was written: somebody edited the file. Nothing was changed; "
            "put the newest untouched copy of node.sqlite back."
        )
