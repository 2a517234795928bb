"""From columns as they stand in a file to numbers that the workload may use, or problems with their places."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from clients.data.blocks import Block, Floats, Texts
from clients.data.columns import SECONDS, ColumnMap
from clients.data.problems import Problems
from clients.data.sources import Chunk
from federation.schema import RowSchema

OUTSIDE_SHARE = 0.01
"""More than this share of a column outside its plausible range means wrong units, not a stray value."""
SPREAD_ROWS = 50
"""A spread is judged from this many rows on."""


@dataclass
class Tally:
    """Running figures of one file per column, (columns,); they live as long as the file is read."""

    rows: int = 0
    outside: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    total: Floats = field(default_factory=lambda: np.zeros(0))
    squares: Floats = field(default_factory=lambda: np.zeros(0))
    origin: Floats = field(default_factory=lambda: np.zeros(0))

    def add(self, x: Floats, outside: npt.NDArray[np.bool_]) -> None:
        """Count `x` (rows, columns); sums are taken from the first row on, which keeps the spread exact."""
        if not len(x):
            return
        if not self.rows:
            self.origin = x[0].copy()
            self.outside = np.zeros(x.shape[1], np.int64)
            self.total, self.squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        self.rows += len(x)
        self.outside += outside.sum(0)
        self.total += (x - self.origin).sum(0)
        self.squares += ((x - self.origin) ** 2).sum(0)

    def spread(self) -> Floats:
        """Standard deviation of each column over the file so far."""
        mean = self.total / self.rows
        return np.asarray(np.sqrt(np.maximum(self.squares / self.rows - mean**2, 0.0)))


def check_chunk(chunk: Chunk, mapping: ColumnMap, schema: RowSchema, tally: Tally, problems: Problems) -> Block | None:
    """The chunk's rows as numbers; None after noting problems that leave no numbers to go on with."""
    known = sum(problems.counts.values())
    columns = [_numbers(chunk, f"column {column.name}", mapping, problems) for column in schema.columns]
    y = _target(chunk, mapping, schema, problems)
    person = _texts(chunk, "person", "no person", problems)
    recording = _texts(chunk, "recording", "no recording", problems) if mapping.recording else np.full(len(y), "")
    time = _seconds(chunk, mapping, problems)
    if sum(problems.counts.values()) > known:
        return None
    x = np.array(columns).reshape(len(columns), len(y)).T
    low, high = np.array([[column.low, column.high] for column in schema.columns]).reshape(-1, 2).T
    outside = (x < low) | (x > high)
    tally.add(x, outside)
    if schema.window is None:
        _note_outside(chunk, x, outside, schema, problems)
    return Block(person, recording.astype(object), time, x, y, ~np.any(outside, axis=1), chunk.first)


def check_units(tally: Tally, schema: RowSchema, problems: Problems) -> None:
    """Note columns whose values over the whole file suggest other units than the workload's."""
    for i, column in enumerate(schema.columns if tally.rows else ()):
        share, spread = tally.outside[i] / tally.rows, tally.spread()[i]
        hint = f" ({column.hint})" if column.hint else ""
        if share > OUTSIDE_SHARE:
            problems.about_the_file(
                f"{column.name}: {share:.0%} of the values lie outside {column.low:g} … {column.high:g} {column.unit}; "
                f"wrong units?{hint} Correct them with [scale] in the mapping file."
            )
        elif tally.rows >= SPREAD_ROWS and spread < column.min_spread:
            problems.about_the_file(
                f"{column.name}: the values hardly change (spread {spread:.2g}, at least {column.min_spread:g} "
                f"{column.unit} expected); wrong units?{hint} Correct them with [scale] in the mapping file."
            )


def _seconds(chunk: Chunk, mapping: ColumnMap, problems: Problems) -> Floats:
    """The time column in seconds: numbers in the mapping's unit, dates with a time of day, or none (empty)."""
    if "time" not in chunk.frame.columns:
        return np.empty(0)
    series = chunk.frame["time"]
    if series.dtype == pl.String and series.str.contains(r"^\s*\d{4}-\d\d-\d\d").fill_null(False).any():
        series = series.str.strip_chars().str.to_datetime(strict=False, time_unit="ns", time_zone="UTC")
    if not series.dtype.is_temporal():
        return _numbers(chunk, "time", mapping, problems) * SECONDS[mapping.time_unit]
    _note(chunk, "time is no date with a time of day", series.is_null().to_numpy(), problems)
    return np.asarray(series.cast(pl.Datetime("ns")).cast(pl.Int64).fill_null(0).to_numpy() * 1e-9)


def _numbers(chunk: Chunk, name: str, mapping: ColumnMap, problems: Problems) -> Floats:
    """A column as float64, scaled; text, gaps, NaN and infinity are noted."""
    short = name.removeprefix("column ")
    series = chunk.frame[name]
    if short in mapping.codes:
        series = _coded(series, mapping.codes[short])
    if short in mapping.empty:
        series = _filled(series, mapping.empty[short])
    empty = series.is_null()
    if series.dtype == pl.String:
        series = series.str.strip_chars()
        empty = empty | (series == "").fill_null(False)
    numbers = series.cast(pl.Float64, strict=False)
    text = numbers.is_null() & ~empty
    if text.any():
        example = repr(series.filter(text)[0])
        _note(chunk, f"{short} holds text instead of a number", text.to_numpy(), problems, example)
    _note(chunk, f"{short} is empty", empty.to_numpy(), problems)
    values = numbers.fill_null(0.0).to_numpy()
    _note(chunk, f"{short} is NaN or infinite", ~np.isfinite(values), problems)
    return np.asarray(values * mapping.scale.get(short, 1.0), dtype=np.float64)


def _coded(series: pl.Series, codes: dict[str, float]) -> pl.Series:
    """Words replaced by their numbers; a word without one stays, and is noted as text."""
    return _as_text(series).replace({word: str(number) for word, number in codes.items()})


def _filled(series: pl.Series, number: float) -> pl.Series:
    """Empty fields and NaN replaced by the number that stands for them."""
    if series.dtype == pl.String:
        return series.str.strip_chars().replace("", None).fill_null(str(number))
    return (series.fill_nan(None) if series.dtype.is_float() else series.cast(pl.Float64)).fill_null(number)


def _as_text(series: pl.Series) -> pl.Series:
    """Values as trimmed text; whole floats without the fraction, so that class 3.0 is class 3."""
    if series.dtype.is_float():
        whole = series.round() == series
        series = (
            series.cast(pl.Int64, strict=False).cast(pl.String).zip_with(whole.fill_null(False), series.cast(pl.String))
        )
    return series.cast(pl.String).str.strip_chars()


def _texts(chunk: Chunk, name: str, problem: str, problems: Problems) -> Texts:
    texts = _as_text(chunk.frame[name])
    _note(chunk, problem, (texts.is_null() | (texts == "").fill_null(True)).to_numpy(), problems)
    return texts.to_numpy().astype(object)


def _target(chunk: Chunk, mapping: ColumnMap, schema: RowSchema, problems: Problems) -> Floats:
    """Class numbers or values as float64 (rows,)."""
    target = schema.target
    if target.classes:
        return _classes(chunk, mapping, schema, problems)
    renamed = Chunk(chunk.frame.rename({"target": f"column {target.name}"}), chunk.first, 0.0)
    values = _numbers(renamed, f"column {target.name}", mapping, problems)
    if target.high > target.low:
        outside = (values < target.low) | (values > target.high)
        _note(chunk, f"{target.name} outside {target.low:g} … {target.high:g} {target.unit}", outside, problems)
    return values


def _classes(chunk: Chunk, mapping: ColumnMap, schema: RowSchema, problems: Problems) -> Floats:
    """Labels by name, or by number where the mapping file names no classes; items of a catalogue by name only."""
    classes = schema.target.classes
    labels = _as_text(chunk.frame["target"])
    numbers = {name: index for index, name in enumerate(classes)}
    if mapping.classes:
        numbers = {label: numbers[name] for label, name in mapping.classes.items()}
    elif not schema.history:
        numbers |= {str(index): index for index in range(len(classes))}
    found = labels.replace_strict(list(numbers), list(numbers.values()), default=-1, return_dtype=pl.Int64)
    unknown = (found == -1).fill_null(True)
    if unknown.any():
        example = repr(labels.filter(unknown)[0])
        _note(chunk, _unknown_label(schema, list(numbers)), unknown.to_numpy(), problems, example)
    return found.fill_null(-1).to_numpy().astype(np.float64)


def _unknown_label(schema: RowSchema, known: list[str]) -> str:
    if schema.history:
        return f"{schema.target.name} that is not one of the {len(known)} of the catalogue, such as {known[0]}"
    return f"label that is none of {', '.join(known)}"


def _note_outside(
    chunk: Chunk, x: Floats, outside: npt.NDArray[np.bool_], schema: RowSchema, problems: Problems
) -> None:
    """In a table every implausible value is a wrong row; in a recording it only spoils the windows around it."""
    for i, column in enumerate(schema.columns):
        if outside[:, i].any():
            limits = f"{column.low:g} … {column.high:g} {column.unit}"
            hint = f" ({column.hint})" if column.hint else ""
            example = f"{x[outside[:, i], i][0]:g}"
            _note(chunk, f"{column.name} outside {limits}{hint}", outside[:, i], problems, example)


def _note(chunk: Chunk, what: str, wrong: npt.NDArray[np.bool_], problems: Problems, example: str = "") -> None:
    problems.at(what, (chunk.first + np.flatnonzero(wrong)).tolist(), int(wrong.sum()), example)
