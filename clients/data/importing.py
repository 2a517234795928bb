"""Files in, registered rows out: everything or nothing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from clients import people
from clients.data.blocks import Cut
from clients.data.checking import Tally, check_chunk, check_units
from clients.data.columns import ColumnMap, check_mapping
from clients.data.cutting import Cutter, Cutting, Recording, Table, rate_problem
from clients.data.histories import Gatherer
from clients.data.problems import Problems
from clients.data.shelf import Shelf, discard, keep, shelf
from clients.data.sources import chunks, place_name
from clients.settings import NodeFolder
from clients.store import Imported, NodeStore
from clients.store.imports import require_apart
from federation.errors import ImportRejected
from federation.interrupts import finishing
from federation.schema import RowSchema
from federation.workload import Workload


@dataclass(frozen=True)
class Order:
    """What to import: files of one kind of columns, for one workload, to train on or to hold out."""

    files: Sequence[Path]
    mapping: ColumnMap
    workload: Workload
    held_out: bool = False


@dataclass(frozen=True)
class ImportReport:
    """What was imported. `spoiled` windows held implausible values; `short` recordings or histories made no row."""

    workload: str
    held_out: bool
    files: int
    samples: int
    rows: int
    people: int
    recordings: int
    short: int
    spoiled: int
    gaps: int


@dataclass
class _Figures:
    """Counts over all files of an import; lives as long as it runs.

    `contents`: where a recording's hash was seen. `recorded`: whom it is of, where it is of one person.
    """

    samples: int = 0
    short: int = 0
    spoiled: int = 0
    gaps: int = 0
    contents: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, str] = field(default_factory=dict)


def import_files(
    folder: NodeFolder,
    store: NodeStore,
    files: Sequence[Path],
    mapping: ColumnMap,
    workload: Workload,
    held_out: bool,
) -> ImportReport:
    """Import without showing progress; see `run_import`."""
    return run_import(folder, store, Order(files, mapping, workload, held_out), lambda _: None)


def run_import(folder: NodeFolder, store: NodeStore, order: Order, advance: Callable[[float], None]) -> ImportReport:
    """Check, cut and register files; `advance` hears of every byte read. `ImportRejected` leaves nothing behind."""
    schema = order.workload.schema
    check_mapping(order.mapping, schema)
    if schema.window and order.mapping.rate_hz is not None:
        _require_rate(order.mapping.rate_hz, schema)
    figures = _Figures()
    with shelf(folder, order.workload.name, schema) as place:
        for path in order.files:
            for cut in _read(path, order, figures, advance):
                place.put(cut)
        if not place.rows:
            raise ImportRejected(_nothing_left(order, figures))
        _require_new(store, order.workload.name, figures)
        known = BitMap(people.known_numbers(store, place.people).values())  # nobody is written down for a refused file
        require_apart(store.datasets(order.workload.name), known, order.held_out)
        _register(folder, store, order, place, figures)
        return _report(order, place, figures)


def _read(path: Path, order: Order, figures: _Figures, advance: Callable[[float], None]) -> Iterator[Cut]:
    """The rows of one file; raises `ImportRejected` with all its problems at the end."""
    schema, problems, tally = order.workload.schema, Problems(path), Tally()
    cutter, empty = _cutter(schema, problems), True
    for chunk in chunks(path, order.mapping.wanted(schema), order.mapping.separator):
        advance(chunk.read_bytes)
        empty = empty and not len(chunk.frame)
        block = check_chunk(chunk, order.mapping, schema, tally, problems) if len(chunk.frame) else None
        if block is None:
            continue
        figures.samples += len(block)
        yield from cutter.feed(block)
    yield from cutter.finish()
    if empty:
        problems.about_the_file("it holds no rows, only column names")
    check_units(tally, schema, problems)
    problems.refuse()
    _note_recordings(path, cutter.recordings, schema, figures)
    figures.short += cutter.short
    figures.spoiled, figures.gaps = figures.spoiled + cutter.spoiled, figures.gaps + cutter.gaps


def _cutter(schema: RowSchema, problems: Problems) -> Cutting:
    """How the rows of this schema are made."""
    if schema.history:
        return Gatherer(schema, problems)
    return Cutter(schema.window, bool(schema.target.classes), problems) if schema.window else Table()


def _note_recordings(path: Path, recordings: list[Recording], schema: RowSchema, figures: _Figures) -> None:
    """Remember each recording by its content; one that was there before is a duplicate."""
    least = schema.window.samples if schema.window else 1
    for recording in recordings:
        if recording.rows < least:
            figures.short += 1
            continue
        where = f"{path}, {place_name(path)} {recording.first}"
        content = recording.content.hexdigest()
        if content in figures.contents:
            raise ImportRejected(
                f"{where}: the same recording as {figures.contents[content]}. Leave one of them out; "
                "nothing was imported."
            )
        figures.contents[content] = where
        if recording.person:
            figures.recorded[content] = recording.person


def _require_rate(rate_hz: float, schema: RowSchema) -> None:
    window = schema.window
    if window and abs(rate_hz / window.rate_hz - 1) > window.rate_tolerance:
        raise ImportRejected(f"the mapping says rate_hz = {rate_hz:g}: {rate_problem(window, 'rate_hz')}.")


def _require_new(store: NodeStore, workload: str, figures: _Figures) -> None:
    """Say which recordings were imported before, by their places; the store refuses them once more."""
    known = store.known_recordings(workload, tuple(figures.contents))
    if known:
        places = [figures.contents[content] for content in figures.contents if content in known]
        raise ImportRejected(
            f"{len(known)} of {len(figures.contents)} recordings were imported before, such as {places[0]}. "
            "Leave them out; nothing was imported."
        )


def _register(folder: NodeFolder, store: NodeStore, order: Order, place: Shelf, figures: _Figures) -> None:
    """One transaction with pseudonyms for the people and files in place; what takes long was written before it."""
    place.flush()
    people.finish_erasures(store)
    kept: list[str] = []
    with finishing():
        try:
            with store.transaction():
                known = people.person_numbers(store, place.people)
                numbers = np.array([known[person] for person in place.people], np.int64)
                digest = place.close(numbers)
                kept.append(keep(folder, place, digest))
                store.add_dataset(_imported(order, place, figures, (kept[0], digest, numbers)))
        except BaseException:
            for file in kept:
                discard(folder, file)
            raise


def _imported(
    order: Order, place: Shelf, figures: _Figures, written: tuple[str, str, npt.NDArray[np.int64]]
) -> Imported:
    """What the register says about files that were `written`: their place, SHA-256 and people."""
    file, digest, numbers = written
    known = dict(zip(place.people, numbers.tolist(), strict=True))
    return Imported(
        workload=order.workload.name,
        file=file,
        rows=place.rows,
        people=BitMap(numbers),
        sha256=digest,
        held_out=order.held_out,
        recordings=tuple(figures.contents),
        recorded={content: known[person] for content, person in figures.recorded.items() if person in known},
    )


def _nothing_left(order: Order, figures: _Figures) -> str:
    history, window = order.workload.schema.history, order.workload.schema.window
    if history:
        return f"nobody has {history.least} different items ({figures.short} people have fewer); nothing was imported."
    seconds = window.samples / window.rate_hz if window else 0
    return (
        f"no window of {seconds:g} s could be cut from {figures.samples} samples "
        f"({figures.short} recordings too short, {figures.spoiled} windows with implausible values, "
        f"{figures.gaps} gaps); nothing was imported."
    )


def _report(order: Order, place: Shelf, figures: _Figures) -> ImportReport:
    return ImportReport(
        workload=order.workload.name,
        held_out=order.held_out,
        files=len(order.files),
        samples=figures.samples,
        rows=place.rows,
        people=len(place.people),
        recordings=len(figures.contents),
        short=figures.short,
        spoiled=figures.spoiled,
        gaps=figures.gaps,
    )
