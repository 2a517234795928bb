"""`paceline server up`: keeps the SuperLink and the executor of a coordinator running."""

import sys
from pathlib import Path

from federation import supervision
from federation.supervision import Program, Say
from server import ports, settings
from server.settings import ServerFolder


def run(folder: ServerFolder | Path, say: Say | None = None) -> None:
    """Run until SIGINT or SIGTERM; `UsageError` if `folder` is no coordinator's or is running already.

    `LinkError` if a port is in use.
    """
    place = ServerFolder(folder) if isinstance(folder, Path) else folder
    values = settings.load(place)
    path = place.path.resolve()
    if running(place) is None:
        ports.require_free(values)
    programs = [
        Program("superlink", (sys.executable, "-m", "server.superlink", str(path)), place.logs / "superlink.log"),
        Program("executor", (sys.executable, "-m", "server.app", str(path)), place.logs / "executor.log"),
    ]
    supervision.run(programs, path, say)


def running(folder: ServerFolder | Path) -> int | None:
    """The process number of the supervisor, if the coordinator in `folder` is up."""
    return supervision.running(folder if isinstance(folder, Path) else folder.path)
