"""Options that all commands of the operator share, with the folder that they open."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.settings import ServerFolder
    from server.store import ServerStore

Dir = Annotated[
    Path | None,
    typer.Option("--dir", help="The coordinator's folder; otherwise $PACELINE_SERVER or the current one."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document for machines.")]
Task = Annotated[str, typer.Argument(metavar="TASK", help="The task's name.")]


@contextmanager
def opened(folder: Path | None) -> Iterator[tuple["ServerStore", "ServerFolder"]]:
    """The coordinator's store and folder."""
    from server import settings
    from server.store import open_store

    place = settings.find_folder(folder)
    with open_store(place) as store:
        yield store, place
