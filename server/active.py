"""Which nodes may take part now."""

from collections.abc import Callable, Mapping

from federation.ids import PartyId
from server.store import ServerStore

Active = Callable[[], Mapping[int, PartyId]]
"""Flower's node numbers of the parties that may take part now, read anew at every call."""


def active(store: ServerStore) -> Active:
    """What `store` says; a revoked party is missing from the next call on."""

    def read() -> Mapping[int, PartyId]:
        return {party.node_id: party.id for party in store.parties() if party.active}

    return read
