"""A terminal, a coordinator that answers over TLS, and everything that a folder holds, to compare before and after."""

import hashlib
import json
import resource
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from federation import cli
from server.api import public_api
from server.settings import ServerFolder
from server.store import open_store

FORGETS = ("http_nonce",)
"""Tables that say nothing about anybody: numbers of requests, kept against replays."""


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it wrote, on one line each."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def paceline(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Type a command."""

    def run(*words: str | Path) -> Done:
        capsys.readouterr()
        code = cli.run([str(word) for word in words])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(paceline: Callable[..., Done]) -> Callable[..., str]:
    """Type a command that fails: with `code`, in words that include all of `says`, and `folders` stay as they were."""

    def fails(*words: str | Path, says: tuple[str, ...], folders: tuple[Path, ...], code: int = 1) -> str:
        before = [contents(folder) for folder in folders]
        done = paceline(*words)
        text = " ".join((done.err + done.out).split())
        assert done.code == code, text
        assert "Traceback" not in text
        assert "internal error" not in text
        for part in says:
            assert part in text, f"{part!r} is not in {text!r}"
        assert [contents(folder) for folder in folders] == before
        return text

    return fails


@pytest.fixture
def held() -> Callable[[Path], dict[str, str]]:
    """Everything that a folder holds."""
    return contents


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """While it is entered, no file can grow beyond this many bytes: writing fails as on a disk without space."""

    @contextmanager
    def limited(size_bytes: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


def contents(folder: Path) -> dict[str, str]:
    """Each file's hash by name; of a database every row; logs and what SQLite keeps beside its files left out."""
    found = {}
    for path in sorted(folder.rglob("*")) if folder.exists() else ():
        name = str(path.relative_to(folder))
        if path.suffix == ".sqlite":
            found[name] = rows(path)
        elif path.is_file() and ".sqlite" not in name and not name.startswith("logs"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.is_dir() and path.name.startswith("."):
            found[name] = "left over"
    return found


def rows(database: Path) -> str:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        lines = [line for line in opened.iterdump() if not any(f'"{table}"' in line for table in FORGETS)]
    return "\n".join(lines)


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
class Lies:
    """What a dishonest coordinator makes of its own answers: `change` gets the path and the JSON, and edits it.

    `heard` is called with each path before it is answered.
    """

    app: ASGIApp
    change: Callable[[str, Any], Any] | None = None
    heard: Callable[[str, Any], Any] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent: list[Message] = []
        if self.heard is not None:
            self.heard(scope["path"], None)

        async def keep(message: Message) -> None:
            sent.append(message)

        await self.app(scope, receive, keep)
        start, body = sent[0], b"".join(part.get("body", b"") for part in sent[1:])
        if self.change is not None and start["status"] == 200 and body.startswith((b"{", b"[")):
            body = json.dumps(self.change(scope["path"], json.loads(body))).encode()
            headers = [item for item in start["headers"] if item[0] != b"content-length"]
            start = {**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
        await send(start)
        await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True)
class Office:
    """A coordinator made by `paceline server init`, whose public address answers."""

    path: Path
    clock: Clock
    lies: Lies


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        path, port = tmp_path_factory.mktemp("office") / "coordinator", listening.getsockname()[1]
        assert cli.run(["server", "init", "--dir", str(path), "--port", str(port), "--json"]) == 0
        folder, clock = ServerFolder(path), Clock()
        with open_store(folder, clock) as store:
            lies = Lies(public_api(store, folder, Registry()))
            with served(lies, folder, listening):
                yield Office(path, clock, lies)


class served:  # noqa: N801 - reads as a word in a with statement
    """Serves an application over TLS on a thread."""

    def __init__(self, app: ASGIApp, folder: ServerFolder, listening: socket.socket) -> None:
        tls = {"ssl_keyfile": str(folder.server_key), "ssl_certfile": str(folder.server_certificate)}
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", **tls)  # type: ignore[arg-type]
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
