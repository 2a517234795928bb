"""Files as a stream of small frames, never a whole file in memory."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import polars as pl

from clients.data import npz
from federation.errors import ImportRejected

CHUNK_BYTES = 4 << 20
CHUNK_ROWS = 1 << 16
MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows: columns by our names; text of a CSV is not parsed yet.

    `first` is the place of the first row (a line of a CSV, else a row counted from 1), `read_bytes` the progress.
    """

    frame: pl.DataFrame
    first: int
    read_bytes: float


def chunks(path: Path, wanted: Mapping[str, str], separator: str) -> Iterator[Chunk]:
    """The rows of a CSV, Parquet or NPZ file; `wanted` gives the file's column for each of our names."""
    if not path.is_file():
        raise ImportRejected(f"{path} is not a file; name CSV, Parquet or NPZ files.")
    if path.stat().st_size == 0:
        raise ImportRejected(f"{path} is empty: 0 bytes. Export it again.")
    try:
        match path.suffix.lower():
            case ".csv":
                yield from _csv(path, wanted, separator)
            case ".parquet":
                yield from _numbered(path, _parquet(path, wanted))
            case ".npz":
                yield from _numbered(path, npz.frames(path, wanted))
            case suffix:
                raise ImportRejected(f"{path} ends in {suffix or 'nothing'}; expected .csv, .parquet or .npz.")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ImportRejected(f"{path} cannot be read as {path.suffix[1:]}: {_first_line(error)}.") from error


def place_name(path: Path) -> str:
    """What a place in this kind of file is called."""
    return "line" if path.suffix.lower() == ".csv" else "row"


def require_columns(path: Path, wanted: Mapping[str, str], found: list[str]) -> None:
    """Raise `ImportRejected` unless the file has every wanted column."""
    missing = {role: name for role, name in wanted.items() if name not in found}
    if missing:
        said = ", ".join(f"{name!r} ({role})" for role, name in missing.items())
        hint = " It is one column only: is separator right?" if len(found) == 1 else ""
        raise ImportRejected(f"{path} has no column {said}. It has {', '.join(found)}.{hint} Correct the mapping file.")


def _numbered(path: Path, frames: Iterator[pl.DataFrame]) -> Iterator[Chunk]:
    """Rows counted from 1. How much is left is not known on the way: the first frame counts as the whole progress."""
    first, read_bytes = 1, float(path.stat().st_size)
    for frame in frames:
        yield Chunk(frame, first, read_bytes)
        first, read_bytes = first + len(frame), 0.0


def _parquet(path: Path, wanted: Mapping[str, str]) -> Iterator[pl.DataFrame]:
    lazy = pl.scan_parquet(path, glob=False)
    require_columns(path, wanted, lazy.collect_schema().names())
    picked = lazy.select(pl.col(name).alias(role) for role, name in wanted.items())
    yield from picked.collect_batches(chunk_size=CHUNK_ROWS, maintain_order=True, lazy=True, engine="streaming")


def _csv(path: Path, wanted: Mapping[str, str], separator: str) -> Iterator[Chunk]:
    """Whole lines, some megabytes at a time; numbers stay text, so that a wrong one can be shown."""
    with path.open("rb") as file:
        header = file.readline(MAX_LINE_BYTES)
        names = _header(path, header, separator)
        require_columns(path, wanted, names)
        line = 2
        while block := _whole_lines(path, file, line):
            frame = _parse(path, block, names, separator, line)
            picked = frame.select(pl.col(name).alias(role) for role, name in wanted.items())
            yield Chunk(picked, line, float(len(block)))
            line += block.count(b"\n")


def _header(path: Path, header: bytes, separator: str) -> list[str]:
    try:
        text = header.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportRejected(f"{path}, line 1: not UTF-8 text. Save it as CSV in UTF-8.") from error
    names = [name.strip() for name in next(csv.reader([text], delimiter=separator), [])]
    if len(set(names)) != len(names):
        raise ImportRejected(f"{path}, line 1: a column name stands there twice: {', '.join(names)}.")
    return names


def _whole_lines(path: Path, file: IO[bytes], line: int) -> bytes:
    """The next block that ends with a line, outside of quotes; empty at the end of the file."""
    block = file.read(CHUNK_BYTES)
    while block and (not block.endswith(b"\n") or block.count(b'"') % 2):
        rest = file.readline(MAX_LINE_BYTES)
        if not rest:
            break
        if len(rest) == MAX_LINE_BYTES or len(block) > CHUNK_BYTES + MAX_LINE_BYTES:
            place = line + block.count(b"\n")
            raise ImportRejected(f"{path}, line {place}: no end of line or quote within 1 MiB; is this a CSV file?")
        block += rest
    return block


def _parse(path: Path, block: bytes, names: list[str], separator: str, line: int) -> pl.DataFrame:
    try:
        return pl.read_csv(
            io.BytesIO(block),
            has_header=False,
            new_columns=names,
            schema=dict.fromkeys(names, pl.String),
            separator=separator,
            truncate_ragged_lines=False,
        )
    except pl.exceptions.PolarsError as error:
        raise ImportRejected(_bad_line(path, block, len(names), separator, line)) from error


def _bad_line(path: Path, block: bytes, expected: int, separator: str, line: int) -> str:
    """Which line the fast parser stumbled over."""
    for offset, raw in enumerate(block.split(b"\n")):
        try:
            fields = next(csv.reader([raw.decode()], delimiter=separator), [])
        except (UnicodeDecodeError, csv.Error):
            return f"{path}, line {line + offset}: not UTF-8 text. Save the file as CSV in UTF-8."
        if len(fields) > expected:
            return f"{path}, line {line + offset}: {len(fields)} fields; the first line names {expected} columns."
    return f"{path}: lines from {line} on cannot be read as CSV; look for a stray quote."


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
