"""Recordings cut into windows as the workload asks, while they stream by."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clients.data.blocks import Block, Cut, Floats
from clients.data.problems import Problems
from federation.schema import Window

GAP_SAMPLES = 5
"""A pause longer than this many samples ends a stretch: no window reaches across it."""
RATE_SAMPLES = 20
"""A sampling rate is judged from this many steps on."""


@dataclass
class Recording:
    """One recording as it streams by: where it began and the running hash of its content."""

    person: str
    name: str
    first: int
    rows: int = 0
    content: "hashlib._Hash" = field(default_factory=hashlib.sha256)


class Cutting(Protocol):
    """One way of making rows of the blocks of one file; `short`, `spoiled` and `gaps` count what made none."""

    recordings: list[Recording]
    short: int
    spoiled: int
    gaps: int

    def feed(self, block: Block) -> Iterator[Cut]:
        """Rows that are known now that `block` was read."""

    def finish(self) -> Iterator[Cut]:
        """Rows that are known only at the end of the file."""


@dataclass
class Table:
    """Rows of a table as they are; the whole file counts as one recording."""

    recordings: list[Recording] = field(default_factory=lambda: [Recording("", "", 1)])
    short: int = 0
    spoiled: int = 0
    gaps: int = 0

    def feed(self, block: Block) -> Iterator[Cut]:
        """The rows of `block`."""
        self.recordings[0].rows += len(block)
        self.recordings[0].content.update(np.ascontiguousarray(np.column_stack([block.x, block.y])).data)
        yield Cut(block.person, block.x.astype(np.float32), block.y)

    def finish(self) -> Iterator[Cut]:
        """Nothing is left."""
        yield from ()


@dataclass
class Cutter:
    """Cuts the blocks of one file; lives as long as the file is read.

    A stretch is a run of rows of one recording with one label and no gap; windows never reach across its ends.
    `carry` holds the rows that a later window still needs, `skip` how many of them the next one leaves out.
    """

    window: Window
    by_label: bool
    problems: Problems
    carry: Block | None = None
    skip: int = 0
    recordings: list[Recording] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)
    short: int = 0
    spoiled: int = 0
    gaps: int = 0

    def feed(self, block: Block) -> Iterator[Cut]:
        """Windows that end in `block`."""
        carried = 0 if self.carry is None else len(self.carry)
        rows = block if self.carry is None else _joined(self.carry, block)
        fresh = _changes(rows.person, rows.recording)
        steps = self._check_time(rows, fresh, carried)
        self._follow_recordings(rows, fresh, carried)
        ends = fresh | steps
        if self.by_label:
            ends[1:] |= rows.y[1:] != rows.y[:-1]
        starts = np.flatnonzero(ends).tolist()
        offset = self.skip
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            yield from self._cut(rows, start + offset, end)
            next_start, offset = _next_start(start + offset, end, self.window), 0
        keep = min(next_start, len(rows) - 1)
        self.carry, self.skip = _part(rows, keep, len(rows)), next_start - keep

    def finish(self) -> Iterator[Cut]:
        """Nothing: a window ends in the block that brings its last sample."""
        yield from ()

    def _cut(self, rows: Block, start: int, end: int) -> Iterator[Cut]:
        samples, hop = self.window.samples, self.window.hop
        if end - start < samples:
            return
        x = np.lib.stride_tricks.sliding_window_view(rows.x[start:end], samples, axis=0)[::hop]
        y = np.lib.stride_tricks.sliding_window_view(rows.y[start:end], samples)[::hop].mean(-1)
        usable = np.lib.stride_tricks.sliding_window_view(rows.usable[start:end], samples)[::hop].all(-1)
        self.spoiled += int((~usable).sum())
        yield Cut(np.full(int(usable.sum()), rows.person[start], object), x[usable].astype(np.float32), y[usable])

    def _follow_recordings(self, rows: Block, fresh: npt.NDArray[np.bool_], carried: int) -> None:
        """Note which recordings begin, and hash the rows that are new in this block."""
        starts = [int(start) for start in np.flatnonzero(fresh) if start >= carried]
        if carried and carried not in starts:
            starts.insert(0, carried)
        content = np.ascontiguousarray(np.column_stack([rows.x, rows.y]))
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            if fresh[start]:
                self._begin(rows, start)
            self.recordings[-1].rows += end - start
            self.recordings[-1].content.update(content[start:end].data)

    def _begin(self, rows: Block, start: int) -> None:
        key = (str(rows.person[start]), str(rows.recording[start]))
        place = rows.first + start
        if key in self.seen:
            self.problems.at("rows of a recording stand apart; sort by person, recording and time", [place], 1)
        self.seen.add(key)
        self.recordings.append(Recording(*key, first=place))

    def _check_time(self, rows: Block, fresh: npt.NDArray[np.bool_], carried: int) -> npt.NDArray[np.bool_]:
        """Rows before which a gap lies; wrong order and wrong sampling rates are noted."""
        gaps = np.zeros(len(rows), np.bool_)
        if not len(rows.time):
            return gaps
        steps = np.diff(rows.time)
        within = ~fresh[1:]
        back = np.flatnonzero(within & (steps <= 0))
        back = back[back + 1 >= carried]
        self.problems.at("time does not increase within a recording", (rows.first + 1 + back).tolist(), len(back))
        gaps[1:] = within & (steps * self.window.rate_hz > GAP_SAMPLES)
        self.gaps += int(gaps.sum())
        starts = np.flatnonzero(fresh).tolist()
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            self._check_rate(steps[start : end - 1], rows.first + start)
        return gaps

    def _check_rate(self, steps: Floats, place: int) -> None:
        """Compare the mean step, without pauses, with what the workload asks for."""
        steps = steps[steps > 0]
        if len(steps) < RATE_SAMPLES:
            return
        rate = float(1 / np.mean(steps[steps <= 2 * np.median(steps)]))
        if abs(rate / self.window.rate_hz - 1) > self.window.rate_tolerance:
            self.problems.at(rate_problem(self.window, "time_unit"), [place], 1, f"{rate:.4g} Hz")


def rate_problem(window: Window, setting: str) -> str:
    """What to say about recordings at another rate; `setting` of the mapping file may be what is wrong."""
    return (
        f"recorded at another rate than the workload's {window.rate_hz:g} Hz "
        f"(resample it, or correct {setting} in the mapping file)"
    )


def _changes(*keys: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Where a row differs from the one before, (rows,); the first row does."""
    changed = np.ones(len(keys[0]), np.bool_)
    changed[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return changed


def _next_start(start: int, end: int, window: Window) -> int:
    """Where the next window of a stretch would begin, were there more rows."""
    cut = max(0, (end - start - window.samples) // window.hop + 1)
    return start + cut * window.hop


def _joined(left: Block, right: Block) -> Block:
    names = ("person", "recording", "time", "x", "y", "usable")
    parts = {name: np.concatenate([getattr(left, name), getattr(right, name)]) for name in names}
    return replace(right, **parts, first=right.first - len(left))


def _part(block: Block, start: int, end: int) -> Block:
    names = ("person", "recording", "time", "x", "y", "usable")
    parts = {name: getattr(block, name)[start:end].copy() for name in names}
    return replace(block, **parts, first=block.first + start)
