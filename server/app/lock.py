"""One run per task at a time."""

import contextlib
import fcntl
import re
import time
from collections.abc import Iterator
from pathlib import Path

from federation.errors import LinkError, UsageError
from federation.terms import SLUG

LOCK_WAIT_S = 15.0


@contextlib.contextmanager
def only_run(folder: Path, task: str, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold the task's lock: two runs of one task never work at once, and the lock dies with its process."""
    if not re.fullmatch(SLUG, task):
        raise UsageError(f"{task!r} is not the name of a task.")
    locks = folder / "locks"
    locks.mkdir(mode=0o700, exist_ok=True)
    with (locks / task).open("a") as file:
        end = time.monotonic() + wait_s
        while not _locked(file.fileno()):
            if time.monotonic() > end:
                raise LinkError(
                    f"another run of task {task} is still working; stop it first: paceline task stop {task}"
                )
            time.sleep(0.1)
        yield


def is_working(folder: Path, task: str) -> bool:
    """Whether a process holds the task's lock now; one that was killed holds it no more."""
    path = folder / "locks" / task
    if not path.is_file():
        return False
    with path.open("a") as file:
        return not _locked(file.fileno())


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
