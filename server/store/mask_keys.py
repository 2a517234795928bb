"""What parties prepared for secure rounds, as the store keeps it until the attempt is over."""

from dataclasses import dataclass, field

from sqlmodel import col, delete, select

from federation.ids import PartyId, TaskDigest
from federation.messages import Advertisement
from server.store.database import Database
from server.store.tables import MaskKeyTable

KEPT_ATTEMPTS = 2


@dataclass(frozen=True)
class Prepared:
    """A party's mask key for an attempt, and shares of its seed, sealed for one party after the other."""

    advertisement: Advertisement
    sealed: bytes = field(repr=False)


class MaskKeys(Database):
    """Mask keys by task and attempt."""

    def save_prepared(self, task: TaskDigest, attempt: int, prepared: Prepared) -> None:
        """Keep what a party prepared, in place of what it prepared before for the same attempt."""
        row = MaskKeyTable(
            task=task,
            attempt=attempt,
            party=prepared.advertisement.party,
            advertisement=prepared.advertisement.model_dump_json(),
            sealed=prepared.sealed,
        )
        old = col(MaskKeyTable.task) == task, col(MaskKeyTable.attempt) <= attempt - KEPT_ATTEMPTS
        with self.transaction() as session:
            session.exec(delete(MaskKeyTable).where(*old))
            session.merge(row)

    def prepared(self, task: TaskDigest, attempt: int) -> dict[PartyId, Prepared]:
        """What each party prepared for an attempt."""
        query = select(MaskKeyTable).where(MaskKeyTable.task == task, MaskKeyTable.attempt == attempt)
        with self.reading() as session:
            return {
                PartyId(row.party): Prepared(Advertisement.model_validate_json(row.advertisement), row.sealed)
                for row in session.exec(query)
            }
