"""Goes on with tasks whose process was killed, so that no operator has to be awake."""

import logging
import time
from pathlib import Path

from federation.errors import PacelineError
from server import runs
from server.settings import ServerFolder
from server.store import open_store

LOOK_EVERY_S = 5.0
DEAD_FOR_S = 20.0
"""A run that was just started needs a few seconds until it takes the task's lock."""

log = logging.getLogger("paceline.revival")


def revive_for_ever(path: Path) -> None:
    """Resume every task that is marked running and has had no process for `DEAD_FOR_S`."""
    folder, missing = ServerFolder(path), dict[str, float]()
    while True:
        time.sleep(LOOK_EVERY_S)
        try:
            missing = look(folder, missing, time.monotonic())
        except PacelineError as error:
            log.warning("%s", error)


def look(folder: ServerFolder, missing: dict[str, float], now: float) -> dict[str, float]:
    """One look: since when each task without a process is known to be without; those that were resumed are left out."""
    with open_store(folder) as store:
        since = {name: missing.get(name, now) for name in runs.orphans(store, folder)}
        for name in [name for name, first in since.items() if now - first >= DEAD_FOR_S]:
            del since[name]
            try:
                run_id = runs.resume(store, folder, name)
                log.warning("task %s had lost its process; it goes on as run %s", name, run_id)
            except PacelineError as error:  # one that cannot go on must not keep the others waiting
                log.warning("%s", error)
    return since
