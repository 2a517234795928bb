"""What each person has spent: an index over the ledger, by groups of people with the same history.

It lives in memory only, is rebuilt from the ledger at any time and follows it row by row.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from clients.store import ledger
from clients.store.database import Transaction
from federation.errors import StoreError
from federation.ids import GENESIS, LedgerHead
from privacy.accounting import ORDERS, Charge, Curve, charge, epsilon_from_rdp, rdp

Cost = Charge | tuple[float, ...]
"""A charge, or the curve that a returning person brought along."""

History = frozenset[tuple[Cost, int]]
"""How often each cost was charged; the order does not matter to what it adds up to."""

SPARE_GROUPS = 1024


@dataclass(frozen=True)
class GroupSpend:
    """People with the same history: how often they were charged, and what that adds up to."""

    people: BitMap
    charges: int
    curve: Curve


class SpendIndex:
    """Group 0 has spent nothing. `_group` maps every person number to a group."""

    def __init__(self) -> None:
        self.number = 0
        self.head: LedgerHead = GENESIS
        self._group: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._histories: list[History] = [frozenset()]
        self._curves: list[Curve] = [np.zeros(len(ORDERS))]
        self._ids: dict[History, int] = {frozenset(): 0}

    def follow(self, tx: Transaction) -> None:
        """Catch up with the ledger; start again if it is not the one that was followed so far."""
        if ledger.hash_of(tx, self.number) != self.head:
            self.__init__()  # type: ignore[misc]
        for entry in ledger.entries_after(tx, self.number, self.head):
            self._apply(entry)

    def curve_of(self, person: int) -> Curve:
        """RDP that one person has spent, (orders,)."""
        return self._curves[self._group[person] if person < len(self._group) else 0].copy()

    def groups(self) -> tuple[GroupSpend, ...]:
        """Everybody who was ever charged."""
        found = []
        for group in np.unique(self._group):
            if group:
                people = BitMap(np.flatnonzero(self._group == group).astype(np.uint32))
                charges = sum(count for _, count in self._histories[group])
                found.append(GroupSpend(people, charges, self._curves[group].copy()))
        return tuple(found)

    def affordable(self, people: BitMap, added: Curve, epsilon: float, delta: float) -> BitMap:
        """Those of `people` whose ε at `delta` stays within `epsilon` after `added`."""
        numbers = _numbers(people)
        groups = self._groups_of(numbers)
        touched = np.unique(groups)
        if len(touched) == 0:
            return BitMap()
        # ε grows with the curve at every order: if the worst of all would pass, then so does each.
        worst = np.max([self._curves[group] for group in touched], axis=0)
        if epsilon_from_rdp(worst + added, delta) <= epsilon:
            return people.copy()
        fits = [group for group in touched if epsilon_from_rdp(self._curves[group] + added, delta) <= epsilon]
        return BitMap(numbers[np.isin(groups, fits)].astype(np.uint32))

    def _apply(self, entry: ledger.Entry) -> None:
        found = entry.charge
        cost = found.curve if isinstance(found, ledger.Carried) else _cost(found)
        numbers = _numbers(found.people)
        if len(numbers):
            self._grow(int(numbers[-1]) + 1)
            touched, place = np.unique(self._group[numbers], return_inverse=True)
            moved = np.array([self._after(int(group), cost) for group in touched], dtype=np.int64)
            self._group[numbers] = moved[place]
            if len(self._histories) > SPARE_GROUPS + 2 * len(touched):
                self._drop_empty_groups()
        self.number, self.head = entry.number, entry.head

    def _after(self, group: int, cost: Cost) -> int:
        """The group whose history is that of `group` and one more `cost`."""
        counts = dict(self._histories[group])
        counts[cost] = counts.get(cost, 0) + 1
        history = frozenset(counts.items())
        if history not in self._ids:
            self._ids[history] = len(self._histories)
            self._histories.append(history)
            self._curves.append(np.sum([_curve(each, count) for each, count in counts.items()], axis=0))
        return self._ids[history]

    def _drop_empty_groups(self) -> None:
        kept = np.union1d([0], self._group)
        self._group = np.searchsorted(kept, self._group)
        self._histories = [self._histories[group] for group in kept]
        self._curves = [self._curves[group] for group in kept]
        self._ids = {history: group for group, history in enumerate(self._histories)}

    def _grow(self, size: int) -> None:
        if size > len(self._group):
            self._group = np.concatenate([self._group, np.zeros(size - len(self._group), dtype=np.int64)])

    def _groups_of(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        groups = np.zeros(len(numbers), dtype=np.int64)
        known = numbers < len(self._group)
        groups[known] = self._group[numbers[known]]
        return groups


def _numbers(people: BitMap) -> npt.NDArray[np.int64]:
    return np.asarray(people.to_array()).astype(np.int64)


def _cost(reserved: ledger.Reserved) -> Charge:
    return charge(reserved.sampling_rate, reserved.noise_multiplier, reserved.levels)


def _curve(cost: Cost, count: int) -> Curve:
    if not isinstance(cost, tuple):
        return rdp(cost, count)
    if len(cost) != len(ORDERS):
        raise StoreError(
            f"the ledger carries a curve of {len(cost)} orders; this Paceline accounts with {len(ORDERS)}. "
            "Install the version that wrote it."
        )
    return np.asarray(cost) * count
