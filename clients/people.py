"""Who a person number is: external identifiers are kept apart, under a key, erasable."""

import json
import unicodedata
from collections.abc import Iterable
from datetime import datetime

from pyroaring import BitMap

from clients import budget, consent
from clients.data import leftovers
from clients.settings import NodeFolder
from clients.store import NodeStore, audit_log, ledger, registry
from clients.store.database import Transaction
from clients.store.moments import to_micros
from federation.errors import SchemaError, StoreError
from federation.ids import PersonNumber

LONGEST_ID = 200


def person_number(store: NodeStore, external_id: str) -> PersonNumber:
    """The number of a person, made at first sight."""
    return person_numbers(store, [external_id])[external_id]


def person_numbers(store: NodeStore, external_ids: Iterable[str]) -> dict[str, PersonNumber]:
    """The numbers of many people, made at first sight.

    Inside a transaction that fails the new identities stay, without a number in node.sqlite; the next call mends that.
    Who was erased and comes back gets a new number, which is charged at once with what was spent before.
    """
    wanted = {external_id: _normal(external_id) for external_id in external_ids}
    finish_erasures(store)
    with store.transaction() as tx:
        with store.identities.transaction() as ids:
            found = _numbers(tx, ids, sorted(set(wanted.values())))
            spent = registry.remembered(ids, list(found))
        present = registry.known(tx, found.values())
        new = {name: number for name, number in found.items() if number not in present}
        registry.add_people(tx, sorted(new.values()), to_micros(store.clock()))
        for name, number in new.items():
            curve = spent.get(name)
            if curve is not None:
                carried = ledger.Carried(tuple(json.loads(curve)), BitMap([number]))
                ledger.append(tx, carried, to_micros(store.clock()))
    return {external_id: PersonNumber(found[name]) for external_id, name in wanted.items()}


def find_person(store: NodeStore, external_id: str) -> PersonNumber:
    """The number of a person who is known here, or `SchemaError`."""
    known = known_numbers(store, [external_id])
    if external_id not in known:
        raise SchemaError(f"nobody is called {external_id!r} here; check the spelling, or import their data first.")
    return known[external_id]


def known_numbers(store: NodeStore, external_ids: Iterable[str]) -> dict[str, PersonNumber]:
    """The numbers of those who are known here; makes none."""
    wanted = {external_id: _normal(external_id) for external_id in external_ids}
    with store.reading() as tx, store.identities.reading() as ids:
        pseudonyms = registry.pseudonyms(ids, sorted(set(wanted.values())))
        numbers = registry.numbers_of(ids, pseudonyms.values())
        present = registry.known(tx, numbers.values())
    found = {external_id: numbers.get(pseudonyms[name]) for external_id, name in wanted.items()}
    return {name: PersonNumber(number) for name, number in found.items() if number is not None and number in present}


def external_id(store: NodeStore, person: PersonNumber) -> str:
    """What a person is called outside, or `SchemaError` (unknown, or erased)."""
    with store.identities.reading() as ids:
        row = registry.identity(ids, person)
        if row is None:
            raise SchemaError(f"it is not known who person {person} is: there is no such number, or it was erased.")
        return row.external_id


def everyone(store: NodeStore) -> BitMap:
    """All people who are known here and not erased."""
    with store.reading() as tx:
        return registry.numbers(tx)


def mark_forgotten(store: NodeStore, tx: Transaction, person: PersonNumber, at: datetime) -> None:
    """Let a number mean nobody from now on, within the caller's transaction; `finish_erasures` deletes who it was."""
    consent.end_all(store, tx, person, at)
    registry.mark_forgotten(tx, person, to_micros(at))
    registry.set_erasure_due(tx, True)
    audit_log.append(tx, "erased", {"person": person}, to_micros(at))


def finish_erasures(store: NodeStore) -> bool:
    """Delete identities and rows of forgotten people for good; whether there was anything to delete.

    Also after a crash, a locked file, a backup of identities.sqlite that was restored. What they had spent is kept
    under an HMAC of their identifier. Outside of a transaction: inside of one no log can be emptied.
    """
    with store.reading() as tx, store.identities.reading() as ids:
        erased = registry.external_ids(ids, list(registry.forgotten(tx)))
        if not erased and not registry.erasure_is_due(tx):
            return False
    for number, name in erased.items():
        curve = budget.spent(store, PersonNumber(number))
        with store.identities.transaction() as ids:
            if curve.any():
                registry.remember(ids, name, json.dumps(curve.tolist()))
            registry.erase(ids, number)
    if not (store.identities.scrub() and store.wipe()):
        raise StoreError(
            "names or answers of people who were erased are still in a log of SQLite, which another process reads. "
            "Wait for it to end, such as a backup, and try again."
        )
    with store.transaction() as tx:
        leftovers.clear(NodeFolder(store.folder).data, {data.file for data in store.datasets()})
        registry.set_erasure_due(tx, False)
    return True


def _numbers(tx: Transaction, ids: Transaction, names: list[str]) -> dict[str, int]:
    """Numbers of normal identifiers; new ones are above all that either database has ever given."""
    pseudonyms = registry.pseudonyms(ids, names)
    known = registry.numbers_of(ids, pseudonyms.values())
    following = max(registry.highest(tx), registry.highest_identity(ids)) + 1
    found: dict[str, int] = {}
    new: list[tuple[int, str, str]] = []
    for name in names:
        number = known.get(pseudonyms[name])
        if number is None:
            number = following + len(new)
            new.append((number, pseudonyms[name], name))
        found[name] = number
    registry.add_identities(ids, new)
    return found


def _normal(external_id: str) -> str:
    """One spelling per person: no spaces around, one Unicode form."""
    name = unicodedata.normalize("NFC", external_id).strip()
    if not name or len(name) > LONGEST_ID or not name.isprintable():
        raise SchemaError(
            f"found {external_id[:40]!r} as a person's identifier; expected 1 to {LONGEST_ID} printable characters."
        )
    return name
