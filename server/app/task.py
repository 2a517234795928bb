"""The Flower ServerApp: runs one task's rounds over Flower, never twice at once."""

from federation import flower

# isort: split
from collections.abc import Callable
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.superlink.grid import HttpGrid

from federation.errors import UsageError
from federation.link import Link
from server.active import active
from server.app.link import over_http
from server.app.lock import only_run
from server.coordinator import Coordinator, open_coordinator
from server.rounds import run_task

Connect = Callable[[Grid, Coordinator], Link]
"""How the coordinator reaches the parties over a Grid."""
Opened = Callable[[Path], Coordinator]
Play = Callable[[Coordinator, Link, str], None]
"""What it does there with the task that the run names."""


def through_superlink(grid: Grid, coordinator: Coordinator) -> Link:
    """The deployed way: only over the grid that our executor makes."""
    if not isinstance(grid, HttpGrid):
        raise UsageError("this app runs over the grid of its own executor only.")
    return over_http(grid, active(coordinator.store))


def server_app(
    folder: Path,
    connect: Connect = through_superlink,
    play: Play = run_task,
    coordinator: Opened = open_coordinator,
) -> ServerApp:
    """An app that runs the task that the run names, for the coordinator in `folder`."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        task = str(context.run_config[flower.TASK_KEY])
        with only_run(folder, task):
            opened = coordinator(folder)
            play(opened, connect(grid, opened), task)

    return app
