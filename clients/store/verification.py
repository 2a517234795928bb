"""Whether the logs of node.sqlite are what was written."""

from collections import deque

from clients.store import audit_log, consent_log, ledger
from clients.store.node import NodeStore
from clients.store.records import Verified
from federation.ids import GENESIS


def verify(store: NodeStore) -> Verified:
    """Read all logs again and raise `StoreError` at the first entry that is not what was written.

    A chain finds edits, deletions and swaps. A log that was cut off or rewritten as a whole is found only by what
    others hold: the ledger's head comes back with each request, checkpoints are co-signed.
    """
    with store.reading() as tx:
        newest = deque(ledger.entries_after(tx, 0, GENESIS), maxlen=1)
        return Verified(
            reservations=newest[0].number if newest else 0,
            consent_events=consent_log.verify(tx),
            audit_entries=audit_log.verify(tx),
        )
