"""The Flower ServerApp: runs one task's rounds over Flower, never twice at once."""

from federation import flower

# isort: split
from collections.abc import Mapping
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import ServerApp
from flwr.superlink.grid import HttpGrid

from federation.ids import PartyId
from server.app.link import Active, FlowerLink
from server.app.lock import only_run
from server.coordinator import open_coordinator
from server.rounds import run_task
from server.store import ServerStore


def server_app(folder: Path) -> ServerApp:
    """An app that runs the task that the run names, for the coordinator in `folder`."""
    app = ServerApp()

    @app.main()
    def main(grid: HttpGrid, context: Context) -> None:
        task = str(context.run_config[flower.TASK_KEY])
        with only_run(folder, task):
            coordinator = open_coordinator(folder)
            run_task(coordinator, FlowerLink(grid, active(coordinator.store)), task)

    return app


def active(store: ServerStore) -> Active:
    """Flower's node numbers of the parties that may take part now, by a fresh look at `store` each time."""

    def read() -> Mapping[int, PartyId]:
        return {party.node_id: party.id for party in store.parties() if party.active}

    return read
