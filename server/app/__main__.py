"""The executor, and one run of it: ``python -m server.app FOLDER`` and ``python -m server.app FOLDER --run``."""

import sys
import threading
from pathlib import Path

from federation.flower import configure_logs
from federation.supervision import end_with_parent
from server import settings
from server.app import executor
from server.app.revival import revive_for_ever
from server.settings import ServerFolder
from server.superlink import secrets


def main(path: Path) -> None:
    """Run what Flower hands out to the coordinator in the folder `path`, until a signal."""
    end_with_parent()
    threading.Thread(target=revive_for_ever, args=(path,), name="revival", daemon=True).start()
    executor.execute(_runtime(path), [sys.executable, "-m", "server.app", str(path), "--run"])


def main_run(path: Path) -> None:
    """One run, whose token comes in by standard input."""
    token = executor.read_token()
    end_with_parent()
    executor.interrupt_on_term()
    from server.app.task import server_app

    executor.run_one(_runtime(path), token, server_app(path))


def _runtime(path: Path) -> executor.Runtime:
    folder = ServerFolder(path)
    return executor.Runtime(
        address=f"127.0.0.1:{settings.load(folder).private_port}",
        ca=folder.ca_certificate.read_bytes(),
        secret=secrets.load(folder.secrets).executor,
    )


if __name__ == "__main__":
    configure_logs()
    (main_run if "--run" in sys.argv else main)(Path(sys.argv[1]))
