"""Imported rows on disk: one folder per import with files of rows and one of owners, registered in the store."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from pyroaring import BitMap
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from clients.data.blocks import Cut
from clients.data.leftovers import INCOMING, sweep
from clients.settings import NodeFolder
from clients.store import Dataset, NodeStore
from federation.errors import StoreError
from federation.schema import Rows, RowSchema, concatenate

PART_BYTES = 16 << 20
OWNERS = "owners.safetensors"
RESTORE = "Restore them or import again."
Found = TypeVar("Found")


@dataclass
class Shelf:
    """An import on its way to disk in `path`; lives as long as the import runs."""

    path: Path
    schema: RowSchema
    rows: int = 0
    parts: int = 0
    people: dict[str, int] = field(default_factory=dict)
    owners: list[npt.NDArray[np.int64]] = field(default_factory=list)
    waiting: list[Cut] = field(default_factory=list)
    waiting_bytes: int = 0
    digests: dict[str, bytes] = field(default_factory=dict)

    def put(self, cut: Cut) -> None:
        """Take rows; they are written once enough have come together."""
        if not len(cut.person):
            return
        numbers = [self.people.setdefault(str(person), len(self.people)) for person in cut.person]
        self.owners.append(np.array(numbers, np.int64))
        self.rows += len(numbers)
        self.waiting.append(cut)
        self.waiting_bytes += cut.x.nbytes
        if self.waiting_bytes >= PART_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting as the next part."""
        if not self.waiting:
            return
        x = torch.from_numpy(np.ascontiguousarray(np.concatenate([cut.x for cut in self.waiting])))
        y = torch.from_numpy(np.concatenate([cut.y for cut in self.waiting])).to(self.schema.y_dtype)
        name = f"part-{self.parts:05d}.safetensors"
        self.digests[name] = _save({"x": x, "y": y}, self.path / name)
        self.parts, self.waiting, self.waiting_bytes = self.parts + 1, [], 0

    def close(self, numbers: npt.NDArray[np.int64]) -> str:
        """Write the owners, `numbers` being the person numbers in the order of `people`; SHA-256 of all files."""
        self.flush()
        person = numbers[np.concatenate(self.owners)]
        self.digests[OWNERS] = _save({"person": torch.from_numpy(person)}, self.path / OWNERS)
        return _together(self.digests)


@contextmanager
def shelf(folder: NodeFolder, workload: str, schema: RowSchema) -> Iterator[Shelf]:
    """A place to write an import; gone at the end unless it was moved into place (`keep`)."""
    root = folder.data / workload
    root.mkdir(parents=True, exist_ok=True)
    sweep(root)
    path = root / f"{INCOMING}{os.getpid()}-{secrets.token_hex(4)}"
    path.mkdir(mode=0o700)
    try:
        yield Shelf(path, schema)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def keep(folder: NodeFolder, shelf: Shelf, digest: str) -> str:
    """Move a finished import into place, durably; its name below data/."""
    _sync(shelf.path)
    final = shelf.path.parent / f"{digest[:16]}-{secrets.token_hex(4)}"
    shelf.path.rename(final)
    _sync(final.parent)
    return str(final.relative_to(folder.data))


def load(folder: NodeFolder, store: NodeStore, workload_name: str, held_out: bool) -> Rows:
    """All rows of a workload, `person` being person numbers; only what the store has registered."""
    found = _each(folder, store, (workload_name, held_out), read)
    return concatenate(found) if found else _nothing(workload_name)


def owners(folder: NodeFolder, store: NodeStore, workload_name: str, held_out: bool) -> npt.NDArray[np.int64]:
    """The person number of every row that `load` would read, without reading the rows."""
    found = _each(folder, store, (workload_name, held_out), owners_of)
    return np.concatenate([np.zeros(0, np.int64), *(person.numpy() for person in found)])


def read(folder: NodeFolder, dataset: Dataset) -> Rows:
    """All rows of one import, or `StoreError`."""
    path = folder.data / dataset.file
    try:
        parts = [load_file(part) for part in sorted(path.glob("part-*.safetensors"))]
        person = owners_of(folder, dataset)
        rows = Rows({name: torch.cat([part[name] for part in parts]) for name in ("x", "y")}, person)
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise StoreError(f"imported rows in {path} cannot be read: {error}. {RESTORE}") from error
    if len(rows) != dataset.rows or not BitMap(np.unique(person.numpy())) <= dataset.people:
        raise StoreError(f"imported rows in {path} are not those that were registered. {RESTORE}")
    return rows


def owners_of(folder: NodeFolder, dataset: Dataset) -> torch.Tensor:
    """The person number of every row of one import, (rows,), or `StoreError`."""
    path = folder.data / dataset.file
    try:
        return load_file(path / OWNERS)["person"]
    except (OSError, SafetensorError, KeyError) as error:
        raise StoreError(f"imported rows in {path} cannot be read: {error}. {RESTORE}") from error


def discard(folder: NodeFolder, file: str) -> None:
    """Delete an import's folder below data/."""
    shutil.rmtree(folder.data / file, ignore_errors=True)


def damaged(folder: NodeFolder, dataset: Dataset) -> bool:
    """Whether the files of an import are not those that were registered; reads all of them."""
    path = folder.data / dataset.file
    return not path.is_dir() or files_digest(path) != dataset.sha256


def files_digest(path: Path) -> str:
    """SHA-256 over the names and contents of the files of one import."""
    return _together({file.name: _digest(file) for file in path.iterdir()})


def _together(digests: Mapping[str, bytes]) -> str:
    """One SHA-256 for files by name."""
    return hashlib.sha256(b"".join(name.encode() + digests[name] for name in sorted(digests))).hexdigest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _save(tensors: dict[str, torch.Tensor], path: Path) -> bytes:
    """Write a file so that it is on the disk; its SHA-256."""
    try:
        save_file(tensors, path)
        _sync(path)
    except SafetensorError as error:
        raise StoreError(f"rows cannot be written to {path.parent.parent}: {error}. Check the disk.") from error
    return _digest(path)


def _each(
    folder: NodeFolder, store: NodeStore, which: tuple[str, bool], look: Callable[[NodeFolder, Dataset], Found]
) -> list[Found]:
    """What is found in each import of a workload, held out or not; again where one was written anew meanwhile."""
    workload_name, held_out = which
    registered = store.datasets(workload_name)
    try:
        return [look(folder, dataset) for dataset in registered if dataset.held_out == held_out]
    except StoreError:
        if store.datasets(workload_name) == registered:
            raise
        return _each(folder, store, which, look)


def _nothing(workload_name: str) -> Rows:
    from federation import workloads

    schema = workloads.find(workload_name).schema
    y = torch.zeros(0, *schema.y_shape, dtype=schema.y_dtype)
    return Rows({"x": torch.zeros(0, *schema.x_shape), "y": y}, torch.zeros(0, dtype=torch.int64))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
