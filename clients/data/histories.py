"""Lines of person, item and perhaps time gathered into one row per person, while they stream by."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from clients.data.blocks import Block, Cut
from clients.data.cutting import Recording
from clients.data.problems import Problems
from federation.histories import gather
from federation.schema import RowSchema

PEOPLE = 4096
"""How many people's rows are made at once."""

Indices = npt.NDArray[np.int64]


@dataclass
class Gatherer:
    """Gathers the lines of one file; lives as long as the file is read, and holds 32 bytes per line.

    Without a time, later lines count as newer. The whole file counts as one recording.
    """

    schema: RowSchema
    problems: Problems
    recordings: list[Recording] = field(default_factory=lambda: [Recording("", "", 1)])
    short: int = 0
    spoiled: int = 0
    gaps: int = 0
    people: dict[str, int] = field(default_factory=dict)
    lines: list[tuple[Indices, Indices, npt.NDArray[np.float64], Indices]] = field(default_factory=list)
    timed: bool = False

    def feed(self, block: Block) -> Iterator[Cut]:
        """Remember the lines of `block`; a person's row is known only at the end."""
        person = np.array([self.people.setdefault(str(name), len(self.people)) for name in block.person], np.int64)
        self.timed = bool(len(block.time))
        time = block.time if self.timed else np.zeros(len(block))
        self.lines.append((person, block.y.astype(np.int64), time, block.first + np.arange(len(block))))
        self.recordings[0].rows += len(block)
        self.recordings[0].content.update(np.ascontiguousarray(np.column_stack([time, block.y])).data)
        yield from ()

    def finish(self) -> Iterator[Cut]:
        """One row for everybody with enough items; lines that stand twice are noted."""
        if not self.lines:
            return
        person, item, time, place = (np.concatenate(part) for part in zip(*self.lines, strict=True))
        self._note_repeats(person, item, time, place)
        order = np.lexsort((place, time, person))
        person, item, names = person[order], item[order], np.array(list(self.people), object)
        ends = np.searchsorted(person, np.arange(PEOPLE, len(names), PEOPLE))
        for owners, items in zip(np.split(person, ends), np.split(item, ends), strict=True):
            rows = gather(owners, items, self.schema)
            self.short += rows.short
            yield Cut(names[rows.person], rows.x, rows.y)

    def _note_repeats(self, person: Indices, item: Indices, time: npt.NDArray[np.float64], place: Indices) -> None:
        """Note lines that say what an earlier line said."""
        order = np.lexsort((place, time, item, person))
        same = np.ones(len(order) - 1, np.bool_)
        for key in (person, item, time):
            same &= np.diff(key[order]) == 0
        repeats = np.sort(place[order[1:][same]])
        name = self.schema.target.name
        what = (
            f"the same person, {name} and time as a line before; leave one out"
            if self.timed
            else f"the same person and {name} as a line before; leave one out, or name the time in the mapping file"
        )
        self.problems.at(what, repeats.tolist(), len(repeats))
