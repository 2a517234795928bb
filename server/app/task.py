"""The Flower ServerApp: runs one task's rounds over Flower, never twice at once."""

from federation import flower

# isort: split
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.superlink.grid import HttpGrid

from federation.errors import UsageError
from server.active import active
from server.app.link import FlowerLink
from server.app.lock import only_run
from server.coordinator import open_coordinator
from server.rounds import run_task


def server_app(folder: Path) -> ServerApp:
    """An app that runs the task that the run names, for the coordinator in `folder`."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        if not isinstance(grid, HttpGrid):
            raise UsageError("this app runs over the grid of its own executor only.")
        task = str(context.run_config[flower.TASK_KEY])
        with only_run(folder, task):
            coordinator = open_coordinator(folder)
            run_task(coordinator, FlowerLink(grid, active(coordinator.store)), task)

    return app
