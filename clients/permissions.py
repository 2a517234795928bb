"""Who permits what and when: an index over the log of consent, the latest statement per person and purpose.

It lives in memory only, is rebuilt from the log at any time and follows it event by event.
"""

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from clients.store import consent_log
from clients.store.database import Transaction
from clients.store.tables import GUARDED
from federation.consent import Purpose
from federation.ids import GENESIS

Column = npt.NDArray[np.int64]
"""One value per person number; 0 for whoever made no statement, and 0 permits nothing."""

AT, COUNTS_FROM, COUNTS_UNTIL, OF_AGE_YEARS = range(4)


class ConsentIndex:
    """By purpose an array (4, people): `AT`, `COUNTS_FROM`, `COUNTS_UNTIL`, `OF_AGE_YEARS` of the latest statement."""

    def __init__(self) -> None:
        self.sequence = 0
        self.hash: str = GENESIS
        self._latest: dict[str, Column] = {}

    def follow(self, tx: Transaction) -> None:
        """Catch up with the log; start again if it is not the one that was followed so far."""
        if consent_log.hash_of(tx, self.sequence) != self.hash:
            self.sequence, self.hash, self._latest = 0, GENESIS, {}
        new = consent_log.windows_after(tx, self.sequence)
        if new:
            purposes = np.array([event[2] for event in new])
            numbers = np.array([(event[1], *event[3:]) for event in new], dtype=np.int64)
            for purpose in np.unique(purposes):
                self._apply(str(purpose), numbers[purposes == purpose])
            self.sequence, self.hash = consent_log.last(tx)

    def permitting(self, purpose: Purpose, at: int, age_of_consent_years: int) -> BitMap:
        """Everybody whose latest statement permits `purpose` at `at` (microseconds)."""
        latest = self._latest.get(purpose.value)
        if latest is None:
            return BitMap()
        return BitMap(np.flatnonzero(_permits(latest, at, age_of_consent_years)).astype(np.uint32))

    def still_permitting(self, people: BitMap, purpose: Purpose, at: int, age_of_consent_years: int) -> BitMap:
        """Those of `people` who are also in `permitting`; looks at nobody else."""
        latest = self._latest.get(purpose.value)
        if latest is None:
            return BitMap()
        numbers = np.asarray(people.to_array())
        numbers = numbers[numbers < latest.shape[1]]
        return BitMap(numbers[_permits(latest[:, numbers], at, age_of_consent_years)])

    def latest_at(self, person: int, purpose: Purpose) -> int:
        """When the latest statement was made (microseconds); 0 where there is none."""
        latest = self._latest.get(purpose.value)
        return int(latest[AT, person]) if latest is not None and person < latest.shape[1] else 0

    def permitted_purposes(self, person: int, by_guardian: bool = True) -> tuple[Purpose, ...]:
        """What the latest statements of a person permit at some time; `by_guardian`: also a guardian's."""
        return tuple(
            Purpose(purpose)
            for purpose, latest in sorted(self._latest.items())
            if person < latest.shape[1]
            and latest[COUNTS_UNTIL, person] > 0
            and (by_guardian or latest[OF_AGE_YEARS, person] < GUARDED)
        )

    def _apply(self, purpose: str, events: Column) -> None:
        """`events` (n, 5): person, at, counts_from, counts_until, of_age_years, in the order of the log."""
        people = events[:, 0]
        latest = self._latest.get(purpose, np.zeros((4, 0), dtype=np.int64))
        missing = int(people.max()) + 1 - latest.shape[1]
        if missing > 0:
            latest = np.concatenate([latest, np.zeros((4, missing), dtype=np.int64)], axis=1)
        latest[:, people] = events[:, 1:].T  # of several events of one person the last is assigned
        self._latest[purpose] = latest


def _permits(latest: Column, at: int, age_of_consent_years: int) -> npt.NDArray[np.bool_]:
    permits: npt.NDArray[np.bool_] = (latest[COUNTS_FROM] <= at) & (at < latest[COUNTS_UNTIL])
    permits &= latest[OF_AGE_YEARS] >= age_of_consent_years
    return permits
