"""Folders for the stores of a run, which need not survive it; what killed runs left is swept away."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - where Linux keeps files in memory
PREFIX = "paceline-run-"


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A new folder in `parent`, else in memory where the system has such a place; gone at the end.

    Its name holds the process and when that began, so that a later run knows whose owner was killed.
    """
    place = parent or (MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else Path(tempfile.gettempdir()))
    sweep(place)
    me = psutil.Process()
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{me.pid}-{int(me.create_time())}-", dir=place) as path:
        yield Path(path)


def sweep(place: Path) -> None:
    """Delete the folders in `place` whose process is no more."""
    for left in place.glob(f"{PREFIX}*"):
        number, began, *_ = left.name.removeprefix(PREFIX).split("-")
        if not _runs(int(number), int(began)):
            shutil.rmtree(left, ignore_errors=True)


def _runs(number: int, began: int) -> bool:
    """Whether this very process runs; a number is given to another one later."""
    try:
        return bool(abs(psutil.Process(number).create_time() - began) < 2)
    except psutil.NoSuchProcess:
        return False
