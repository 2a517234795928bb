"""NumPy archives as a stream of frames: each array is unpacked piece by piece, and pickles are refused."""

import io
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from federation.errors import ImportRejected

ROWS = 1 << 14
MAX_ROW_BYTES = 1 << 13
MAX_FORTRAN_BYTES = 128 << 20
Array = npt.NDArray[Any]


def frames(path: Path, wanted: Mapping[str, str]) -> Iterator[pl.DataFrame]:
    """Rows of equally long arrays. ``"X[2]"`` is column 2 of a table X; an array of one value holds for every row."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield from _frames(path, archive, wanted)
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ImportRejected(f"{path} is not a NumPy archive that can be read: {error}.") from error


@dataclass(frozen=True)
class _Member:
    """One array of the archive, at its first unread value; `rows` is None for a single value."""

    file: IO[bytes]
    dtype: "np.dtype[Any]"
    shape: tuple[int, ...]

    def read(self, rows: int) -> Array:
        count = rows * math.prod(self.shape[1:])
        data = self.file.read(count * self.dtype.itemsize)
        if len(data) != count * self.dtype.itemsize:
            raise EOFError("an array is shorter than its header says")
        return np.frombuffer(data, self.dtype).reshape((rows, *self.shape[1:]))


def _frames(path: Path, archive: zipfile.ZipFile, wanted: Mapping[str, str]) -> Iterator[pl.DataFrame]:
    places = {role: _place(name) for role, name in wanted.items()}
    found = [name.removesuffix(".npy") for name in archive.namelist()]
    missing = sorted({key for key, _ in places.values()} - set(found))
    if missing:
        raise ImportRejected(f"{path} has no array {', '.join(missing)}. It has {', '.join(found)}.")
    members = {key: _open(path, archive, key) for key in dict.fromkeys(key for key, _ in places.values())}
    rows = _length(path, members)
    single = {key: member.read(1) for key, member in members.items() if member.shape[0] == 1 != rows}
    for start in range(0, rows, ROWS):
        count = min(ROWS, rows - start)
        read = {key: member.read(count) for key, member in members.items() if key not in single}
        read |= {key: np.repeat(value, count, axis=0) for key, value in single.items()}
        yield pl.DataFrame({role: _series(path, read[key], index) for role, (key, index) in places.items()})


def _place(name: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.+)\[(\d+)\]", name)
    return (match[1], int(match[2])) if match else (name, None)


def _open(path: Path, archive: zipfile.ZipFile, key: str) -> _Member:
    file = archive.open(f"{key}.npy")
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ImportRejected(f"{path}: array {key} holds Python objects, which could run code. Save numbers or text.")
    if len(shape) > 2:
        raise ImportRejected(f"{path}: array {key} has shape {shape}; expected (rows,) or (rows, columns).")
    if dtype.itemsize * math.prod(shape[1:]) > MAX_ROW_BYTES:
        raise ImportRejected(f"{path}: one row of array {key} is longer than {MAX_ROW_BYTES} bytes.")
    if fortran and len(shape) == 2:
        file = _by_rows(path, key, file, dtype, shape)
    return _Member(file, dtype, shape or (1,))


def _by_rows(path: Path, key: str, file: IO[bytes], dtype: "np.dtype[Any]", shape: tuple[int, ...]) -> IO[bytes]:
    """The same table row by row; stored by columns it must be read whole, so only up to a limit."""
    size = dtype.itemsize * math.prod(shape)
    if size > MAX_FORTRAN_BYTES:
        raise ImportRejected(
            f"{path}: array {key} is stored by columns and larger than {MAX_FORTRAN_BYTES >> 20} MiB; save it by rows: "
            "numpy.ascontiguousarray(array)."
        )
    data = file.read(size)
    if len(data) != size:
        raise EOFError("an array is shorter than its header says")
    return io.BytesIO(np.frombuffer(data, dtype).reshape(shape, order="F").tobytes(order="C"))


def _length(path: Path, members: Mapping[str, _Member]) -> int:
    lengths = {key: member.shape[0] for key, member in members.items()}
    longer = {length for length in lengths.values() if length != 1} or {1}
    if len(longer) > 1:
        raise ImportRejected(f"{path}: arrays of different length: {lengths}.")
    return longer.pop()


def _series(path: Path, values: Array, index: int | None) -> pl.Series:
    if (values.ndim == 2) != (index is not None) or (index is not None and index >= values.shape[1]):
        raise ImportRejected(
            f"{path}: an array has {values.shape[1:] or 'one column'}; name a column of a table as NAME[0], NAME[1], …"
        )
    column = values if index is None else values[:, index]
    if column.dtype.kind in "SU":
        return pl.Series(column.astype(str).tolist(), dtype=pl.String)
    return pl.Series(np.ascontiguousarray(column.astype(column.dtype.newbyteorder("="))))
