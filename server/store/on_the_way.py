"""Bytes of an attempt that is open, as the store keeps them: on disk before a question leaves, and as answers come.

A process that is killed loses none of them. When the attempt ends they move into the record of what each party did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import bindparam, delete, insert, select, update

from federation.ids import PartyId, TaskDigest
from server.store.database import Transaction
from server.store.records import PartyRound
from server.store.tables import OnTheWayTable

Key = tuple[TaskDigest, str, int]
"""A task, the kind of a question and the number of its attempt."""
GIVEN_UP = "given up after a restart"

_BYTES = OnTheWayTable.__table__  # type: ignore[attr-defined]
_ATTEMPT = (
    _BYTES.c.task == bindparam("of_task"),
    _BYTES.c.kind == bindparam("of_kind"),
    _BYTES.c.attempt == bindparam("of_attempt"),
)
FIRST = insert(_BYTES)
MORE = (
    update(_BYTES)
    .where(*_ATTEMPT, _BYTES.c.party == bindparam("of_party"))
    .values(bytes_up=_BYTES.c.bytes_up + bindparam("up"), bytes_down=_BYTES.c.bytes_down + bindparam("down"))
)
ALL = select(_BYTES.c.party, _BYTES.c.bytes_up, _BYTES.c.bytes_down).where(*_ATTEMPT).order_by(_BYTES.c.party)
GONE = delete(_BYTES).where(*_ATTEMPT)


def add(session: Transaction, key: Key, party: PartyId, up: int, down: int) -> None:
    """So many bytes more came from `party`, and went to it."""
    counted = _of(key) | {"of_party": party, "up": up, "down": down}
    if not session.core.execute(MORE, counted).rowcount:
        task, kind, attempt = key
        first = {"task": task, "kind": kind, "attempt": attempt, "party": party, "bytes_up": up, "bytes_down": down}
        session.core.execute(FIRST, first)


def taken(session: Transaction, key: Key, parties: Sequence[PartyRound]) -> list[PartyRound]:
    """What `parties` did with their bytes, which are counted here no more; also whom a killed process asked in vain."""
    found = {PartyId(party): counts for party, *counts in session.core.execute(ALL, _of(key))}
    if not found:
        return list(parties)
    session.core.execute(GONE, _of(key))
    told = {party.party for party in parties}
    forgotten = [PartyRound(party, "late", GIVEN_UP) for party in found if party not in told]
    return [_with(party, found) for party in (*parties, *forgotten)]


def _with(done: PartyRound, found: Mapping[PartyId, Sequence[int]]) -> PartyRound:
    up, down = found.get(done.party, (0, 0))
    return replace(done, bytes_up=done.bytes_up + up, bytes_down=done.bytes_down + down)


def _of(key: Key) -> dict[str, object]:
    return dict(zip(("of_task", "of_kind", "of_attempt"), key, strict=True))
