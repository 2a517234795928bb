"""A coordinator that answers over TLS on this machine, for the node's side of enrolment."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

from federation.roles import Role
from federation.signing import Identity
from server import enrolment, tasks
from server.api import public_api
from server.settings import ServerFolder, ServerSettings
from server.store import ServerStore, Task, open_store

TASK = """
name = "{name}"
title = "Running pace"
workload = "running_pace"
purpose = "train-motion-models"
rounds = 3
{privacy}
[training]
learning_rate = 0.1
public_weight = 1.0
[exchange]
min_parties = 2
[evaluation]
disclosure = "published"
"""
PROTECTED = """
[privacy]
sampling_rate = 0.1
clip = 1.0
rows_per_person = 4
delta = 1e-5
noise_multiplier = 2.0
"""


@dataclass
class Clock:
    """The coordinator's time; `ahead` is how far it is from this machine's."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Registry:
    """The network edge: what Flower would be told."""

    keys: dict[bytes, int] = field(default_factory=dict)

    def register(self, name: str, public_key_openssh: bytes) -> int:
        return self.keys.setdefault(public_key_openssh, len(self.keys) + 1)


@dataclass
class Office:
    """A running coordinator."""

    folder: ServerFolder
    store: ServerStore
    clock: Clock

    def invite(self, name: str, role: Role = Role.DATA_PROVIDER) -> str:
        return enrolment.invite(self.store, self.folder, name, role)

    def new_task(self, path: Path, people: dict[str, int], name: str = "pace", privacy: str = PROTECTED) -> Task:
        """A task with this cohort, signed by the coordinator."""
        cohort = "".join(f'[[cohort]]\nparty = "{party}"\npeople = {count}\n' for party, count in people.items())
        file = path / f"{name}.toml"
        file.write_text(TASK.format(name=name, privacy=privacy) + cohort)
        task = tasks.new_task(self.store, self.folder, file)
        tasks.sign(self.store, Identity.load(self.folder.identity_key), task.name)
        return task


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings = ServerSettings(name="Test Federation", port=listening.getsockname()[1])
        clock = Clock()
        folder = enrolment.create(tmp_path_factory.mktemp("office") / "server", settings, clock())
        with open_store(folder, clock) as store:
            app = public_api(store, folder, Registry())
            with served(app, folder, listening):
                yield Office(folder, store, clock)


class served:  # noqa: N801 - reads as a word in a with statement
    """Serves an application over TLS on a thread."""

    def __init__(self, app: Starlette, folder: ServerFolder, listening: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            lifespan="off",
            ws="none",
            ssl_keyfile=str(folder.server_key),
            ssl_certfile=str(folder.server_certificate),
        )
        self.server, self.listening = uvicorn.Server(config), listening
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listening]})

    def __enter__(self) -> None:
        self.thread.start()
        deadline = time.monotonic() + 10
        while not self.server.started and time.monotonic() < deadline:
            time.sleep(0.01)

    def __exit__(self, *error: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
