"""`paceline node up`: keeps the SuperNode and the worker of a node running."""

import sys
from pathlib import Path

from clients import settings
from clients.pinned import load_pinned
from clients.settings import NodeFolder
from federation import supervision
from federation.supervision import Program, Say


def run(folder: NodeFolder | Path, say: Say | None = None) -> None:
    """Run until SIGINT or SIGTERM; `UsageError` if `folder` is no node's or is running already.

    The coordinator may come and go: the SuperNode keeps trying.
    """
    place = NodeFolder(folder) if isinstance(folder, Path) else folder
    settings.load(place)
    load_pinned(place)
    path = place.path.resolve()
    programs = [
        Program("supernode", (sys.executable, "-m", "clients.supernode", str(path)), place.logs / "supernode.log"),
        Program("worker", (sys.executable, "-m", "clients.worker", str(path)), place.logs / "worker.log"),
    ]
    supervision.run(programs, path, say)


def running(folder: NodeFolder | Path) -> int | None:
    """The process number of the supervisor, if the node in `folder` is up."""
    return supervision.running(folder if isinstance(folder, Path) else folder.path)
