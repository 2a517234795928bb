"""The people of a simulation: given by data or invented one by one, so that a million registered cost no memory."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from pyroaring import BitMap

from federation.errors import UsageError
from federation.schema import Rows, concatenate
from federation.workload import Workload
from simulations.scenario import Data

Indices = npt.NDArray[np.int64]
CACHE_BYTES = 512 << 20
"""Rows of invented people that are kept; whoever is drawn again later is invented again, the same."""

OVERSAMPLING = 3
SENSORS = (slice(0, 3), slice(3, 6))
"""Acceleration and angular rate: what turns together when a device sits differently."""


class People(Protocol):
    """Everybody of a scenario, numbered from 0."""

    @property
    def count(self) -> int:
        """How many there are."""

    def groups(self) -> tuple[str, ...]:
        """The natural group of each person (state, federation, own name); empty where there is none."""

    def rows(self, people: Indices, progress: float) -> Rows:
        """Rows of `people` (int64), `person` being the place in `people`; `progress`: share of the rounds gone by."""


class Given:
    """People with rows in memory."""

    def __init__(self, rows: Rows, groups: Sequence[str] = ()) -> None:
        self._names = tuple(groups)
        numbers, owner = torch.unique(rows.person, return_inverse=True)
        order = torch.argsort(owner, stable=True)
        self._rows = Rows({name: tensor[order] for name, tensor in rows.fields.items()}, owner[order])
        self._counts = np.bincount(owner.numpy(), minlength=len(numbers))
        self._starts = np.cumsum(self._counts) - self._counts
        if groups and len(groups) != len(numbers):
            raise UsageError(f"{len(groups)} groups for {len(numbers)} people; expected one each.")

    @property
    def count(self) -> int:
        """See `People`."""
        return len(self._counts)

    def groups(self) -> tuple[str, ...]:
        """See `People`."""
        return self._names

    def rows(self, people: Indices, progress: float) -> Rows:
        """See `People`; nothing changes with time."""
        del progress
        counts = self._counts[people]
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found = self._rows.take(torch.from_numpy(np.repeat(self._starts[people], counts) + offsets))
        return Rows(found.fields, torch.from_numpy(np.repeat(np.arange(len(people)), counts)))


@dataclass
class Invented:
    """People whom the workload invents when they are asked for, each from (seed, number) alone."""

    workload: Workload
    terms: Data
    seed: int
    _kept: OrderedDict[int, Rows] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def __post_init__(self) -> None:
        turned = self.terms.rotation_deg or self.terms.gain or self.terms.drift
        if turned and (self.workload.schema.window is None or len(self.workload.schema.columns) != 6):
            raise UsageError(
                f"rotation_deg, gain and drift turn the axes of a device; rows of {self.workload.name} have no six "
                "axes over time. Leave them out."
            )
        schema = self.workload.schema
        if self.terms.label_skew is not None and (schema.history or not schema.target.classes):
            found = "items" if schema.history else "a number"
            raise UsageError(f"label_skew is about classes; {self.workload.name} predicts {found}. Leave it out.")

    @property
    def count(self) -> int:
        """See `People`."""
        return self.terms.people

    def groups(self) -> tuple[str, ...]:
        """See `People`."""
        return ()

    def rows(self, people: Indices, progress: float) -> Rows:
        """See `People`."""
        found = [self._worn(int(person), self._of(int(person)), progress) for person in people]
        placed = [Rows(rows.fields, torch.full_like(rows.person, place)) for place, rows in enumerate(found)]
        return concatenate(placed or [self.workload.invent(0, 1, 1).take(torch.zeros(0, dtype=torch.int64))])

    def _of(self, person: int) -> Rows:
        """One person's rows, invented or kept."""
        kept = self._kept.get(person)
        if kept is not None:
            self._kept.move_to_end(person)
            return kept
        rows = self._invent(person)
        self._kept[person] = rows
        self._bytes += _size(rows)
        while self._bytes > CACHE_BYTES and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])
        return rows

    def _invent(self, person: int) -> Rows:
        dice = np.random.default_rng((self.seed, person, 0))
        count = max(1, round(self.terms.rows_per_person * dice.lognormal(0, self.terms.quantity_skew)))
        seed = int(dice.integers(2**31))
        if self.terms.label_skew is None:
            rows = self.workload.invent(seed, 1, count)
        else:
            wide = self.workload.invent(seed, 1, count * OVERSAMPLING)
            rows = wide.take(torch.from_numpy(_skewed(wide.fields["y"].numpy(), count, self.terms.label_skew, dice)))
        return rows

    def _worn(self, person: int, rows: Rows, progress: float) -> Rows:
        """As this person's device records it at this moment."""
        if not (self.terms.rotation_deg or self.terms.gain):
            return rows
        dice = np.random.default_rng((self.seed, person, 1))
        growth = 1 + self.terms.drift * progress
        turn = _rotation(dice, growth * np.radians(self.terms.rotation_deg) * dice.uniform())
        gains = np.exp(growth * dice.normal(0, self.terms.gain, 2))
        x = rows.fields["x"]
        parts = [float(gain) * (turn.to(x) @ x[:, axes]) for gain, axes in zip(gains, SENSORS, strict=True)]
        bounds = x.new_tensor([[column.low, column.high] for column in self.workload.schema.columns])
        worn = torch.cat(parts, dim=1).clamp(bounds[:, :1], bounds[:, 1:])
        return Rows({**rows.fields, "x": worn}, rows.person)


@dataclass(frozen=True)
class HandRows:
    """Rows of one party at one moment, a `clients.data.RowSource`; `hand` (int64) says who its person 0, 1, … is."""

    everybody: People
    hand: Indices
    progress: float = 0.0

    def people(self, workload: str, held_out: bool) -> BitMap:
        """Everybody who was dealt to the party; nobody is held out at a party."""
        del workload
        return BitMap() if held_out else BitMap(range(len(self.hand)))

    def of(self, workload: str, held_out: bool, people: BitMap) -> Rows:
        """Their rows, `person` being the party's own numbers."""
        del workload, held_out
        numbers = np.array(people.to_array(), dtype=np.int64)
        rows = self.everybody.rows(self.hand[numbers], self.progress)
        return Rows(rows.fields, torch.from_numpy(numbers)[rows.person])


def _skewed(labels: Indices, count: int, alpha: float, dice: np.random.Generator) -> Indices:
    """Places of `count` rows, classes after a Dirichlet draw (Hsu et al. 2019); rows repeat where they run out."""
    classes = np.unique(labels)
    wanted = dice.multinomial(count, dice.dirichlet(np.full(len(classes), alpha)))
    places = [np.resize(np.flatnonzero(labels == one), often) for one, often in zip(classes, wanted, strict=True)]
    return np.concatenate(places)


def _rotation(dice: np.random.Generator, angle_rad: float) -> torch.Tensor:
    """A turn by `angle_rad` about a random axis, (3, 3); Rodrigues' formula."""
    x, y, z = (axis := dice.normal(size=3)) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * cross @ cross
    return torch.from_numpy(turn.astype(np.float32))


def _size(rows: Rows) -> int:
    return sum(tensor.nbytes for tensor in rows.fields.values())
