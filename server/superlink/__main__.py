"""The SuperLink process: ``python -m server.superlink FOLDER``."""

import sys
from pathlib import Path

from federation.errors import PacelineError
from federation.flower import configure_logs
from federation.gate import App
from federation.supervision import end_with_parent
from server import settings
from server.active import active
from server.api import public_api
from server.settings import ServerFolder
from server.store import open_store
from server.superlink import secrets, service
from server.superlink.members import LinkStateNodes


def main(path: Path) -> None:
    """Serve the coordinator in the folder `path` until a signal."""
    folder = ServerFolder(path)
    store = open_store(folder)

    def api(nodes: LinkStateNodes) -> App:
        return public_api(store, folder, nodes)

    service.serve(setup(folder), active(store), api)


def setup(folder: ServerFolder) -> service.Setup:
    """What the folder says about listening."""
    values = settings.load(folder)
    return service.Setup(
        bind=values.bind,
        port=values.port,
        private_port=values.private_port,
        ca=folder.ca_certificate,
        certificate=folder.server_certificate,
        key=folder.server_key,
        database=folder.superlink_database.resolve(),
        log=folder.logs / "access.jsonl",
        secrets=secrets.load(folder.secrets),
    )


if __name__ == "__main__":
    configure_logs()
    end_with_parent()
    try:
        main(Path(sys.argv[1]))
    except PacelineError as error:
        sys.exit(f"error: {error}")
