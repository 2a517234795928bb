"""The rows about people in both databases: numbers in node.sqlite, who they are in identities.sqlite."""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import TypeVar

from pyroaring import BitMap
from sqlalchemy import bindparam, insert, update
from sqlmodel import Session, col, func, select

from clients.store.database import Transaction
from clients.store.identity_tables import EvidenceRow, IdentityRow, IdentitySecretRow, RememberedRow
from clients.store.prepared import prepared
from clients.store.tables import PersonRow, SettingRow
from federation.ids import PersonNumber

PORTION = 10_000
Value = TypeVar("Value", int, str)
HIGHEST = prepared(select(func.coalesce(func.max(PersonRow.number), -1)))
FORGOTTEN = prepared(select(PersonRow.number).where(col(PersonRow.forgotten_at).is_not(None)))


def numbers(tx: Session) -> BitMap:
    """Everybody who has a number here and was not erased (node.sqlite)."""
    found = tx.connection().execute(select(PersonRow.number).where(col(PersonRow.forgotten_at).is_(None)))
    return BitMap(found.scalars().all())


def known(tx: Session, people: Collection[int]) -> BitMap:
    """Those of `people` who have a number here and were not erased (node.sqlite)."""
    query = select(PersonRow.number).where(col(PersonRow.forgotten_at).is_(None))
    found = BitMap()
    for some in _portions(people):
        found.update(tx.connection().execute(query.where(col(PersonRow.number).in_(some))).scalars().all())
    return found


def highest(tx: Transaction) -> int:
    """The largest number ever given in node.sqlite, -1 where none was."""
    ((number,),) = tx.rows(HIGHEST)
    return int(number)


def forgotten(tx: Transaction) -> BitMap:
    """Everybody who was erased (node.sqlite)."""
    return BitMap(number for (number,) in tx.rows(FORGOTTEN))


def person(tx: Session, number: int) -> PersonRow | None:
    """The row of a number in node.sqlite."""
    return tx.get(PersonRow, number)


def add_people(tx: Session, new: Sequence[int], at: int) -> None:
    """Write new numbers to node.sqlite."""
    if new:
        tx.connection().execute(insert(PersonRow), [{"number": number, "created_at": at} for number in new])


def mark_forgotten(tx: Session, number: int, at: int) -> None:
    """Never use `number` again (node.sqlite)."""
    row = tx.get_one(PersonRow, number)
    row.forgotten_at = at
    tx.add(row)
    tx.flush()


def highest_identity(ids: Session) -> int:
    """The largest number in identities.sqlite, -1 where there is none."""
    return int(ids.exec(select(func.coalesce(func.max(IdentityRow.number), -1))).one())


def erasure_is_due(tx: Session) -> bool:
    """Whether somebody was forgotten whose identity may still be on the disk (node.sqlite)."""
    row = tx.get(SettingRow, "erasure")
    return row is not None and row.value == "due"


def set_erasure_due(tx: Session, due: bool) -> None:
    """Remember that identities are to be deleted, or that this is done (node.sqlite)."""
    tx.merge(SettingRow(name="erasure", value="due" if due else "done"))
    tx.flush()


def pseudonyms(ids: Session, external_ids: Sequence[str]) -> dict[str, str]:
    """HMAC-SHA256 of external identifiers under this node's key, hexadecimal."""
    return _tags(ids, "pseudonyms", external_ids)


def numbers_of(ids: Session, pseudonyms: Collection[str]) -> dict[str, int]:
    """Numbers of those of `pseudonyms` that are known (identities.sqlite)."""
    query = select(IdentityRow.pseudonym, IdentityRow.number)
    found: dict[str, int] = {}
    for some in _portions(pseudonyms):
        found.update(ids.exec(query.where(col(IdentityRow.pseudonym).in_(some))).all())
    return found


def add_identities(ids: Session, new: Sequence[tuple[int, str, str]]) -> None:
    """Write (number, pseudonym, external identifier) rows to identities.sqlite."""
    if new:
        names = ("number", "pseudonym", "external_id")
        ids.connection().execute(insert(IdentityRow), [dict(zip(names, row, strict=True)) for row in new])


def identity(ids: Session, number: int) -> IdentityRow | None:
    """The identity behind a number, while there is one."""
    return ids.get(IdentityRow, number)


def external_ids(ids: Session, people: Collection[int]) -> dict[int, str]:
    """What those of `people` are called outside who have an identity."""
    query = select(IdentityRow.number, IdentityRow.external_id)
    found: dict[int, str] = {}
    for some in _portions(people):
        found.update(ids.exec(query.where(col(IdentityRow.number).in_(some))).all())
    return found


def identities(ids: Session) -> Iterator[IdentityRow]:
    """All identities, in the order of their numbers."""
    return iter(ids.exec(select(IdentityRow).order_by(col(IdentityRow.number))))


def births(ids: Session, people: Collection[int]) -> dict[PersonNumber, date]:
    """Dates of birth of `people`, where they are known."""
    query = select(IdentityRow.number, IdentityRow.born)
    found: dict[PersonNumber, date] = {}
    for some in _portions(people):
        for number, born in ids.exec(query.where(col(IdentityRow.number).in_(some))):
            if born is not None:
                found[PersonNumber(number)] = date.fromisoformat(born)
    return found


def set_births(ids: Session, known: Mapping[PersonNumber, date]) -> None:
    """Keep dates of birth, erasable."""
    rows = [{"key": number, "value": born.isoformat()} for number, born in known.items()]
    if rows:
        where = col(IdentityRow.number) == bindparam("key")
        ids.connection().execute(update(IdentityRow.__table__).where(where).values(born=bindparam("value")), rows)


def keep_evidence(ids: Session, person: PersonNumber, text: str) -> str:
    """Keep what proves a statement, erasable; a salted commitment to it, empty where there is no text."""
    if not text:
        return ""
    salt = secrets.token_hex(32)
    commitment = hashlib.sha256(f"{salt}{text}".encode()).hexdigest()
    ids.add(EvidenceRow(commitment=commitment, number=person, salt=salt, text=text))
    return commitment


def evidence(ids: Session, commitment: str) -> EvidenceRow | None:
    """What proves a statement, while it was not erased."""
    return ids.get(EvidenceRow, commitment)


def erase(ids: Session, number: int) -> None:
    """Delete identity and evidence of a number."""
    for row in ids.exec(select(EvidenceRow).where(EvidenceRow.number == number)):
        ids.delete(row)
    found = ids.get(IdentityRow, number)
    if found is not None:
        ids.delete(found)
    ids.flush()


def remember(ids: Session, external_id: str, curve: str) -> None:
    """Keep what an erased person has spent, under a key that recognises only who comes back, and nothing else."""
    ids.merge(RememberedRow(tag=_tags(ids, "budget", [external_id])[external_id], curve=curve))
    ids.flush()


def remembered(ids: Session, external_ids: Sequence[str]) -> dict[str, str]:
    """What those of `external_ids` had spent who were erased and come back."""
    kept = {row.tag: row.curve for row in ids.exec(select(RememberedRow))}
    tags = _tags(ids, "budget", external_ids) if kept else {}
    return {external_id: kept[tag] for external_id, tag in tags.items() if tag in kept}


def _tags(ids: Session, key: str, external_ids: Sequence[str]) -> dict[str, str]:
    secret = bytes.fromhex(ids.get_one(IdentitySecretRow, key).key)
    return {name: hmac.new(secret, name.encode(), hashlib.sha256).hexdigest() for name in external_ids}


def _portions(values: Collection[Value]) -> Iterator[list[Value]]:
    """`values` in portions that fit into one statement."""
    listed = list(values)
    return (listed[start : start + PORTION] for start in range(0, len(listed), PORTION))
