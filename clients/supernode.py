"""The node's SuperNode: fetches messages from the coordinator and keeps them for the worker beside it."""

from federation import flower

# isort: split
import asyncio
import contextlib
import json
import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from fastapi import FastAPI
from flwr.app import Error
from flwr.common.constant import ISOLATION_MODE_PROCESS, ErrorCode, Status, SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest, AcquireTaskResponse
from flwr.supercore.constant import TASK_TOKEN_HEADER, TaskType
from flwr.supercore.exit import add_exit_handler
from flwr.supercore.fab import Fab
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.retry import http_retry
from flwr.supercore.routers.runtime.tracing import RuntimeTracingMiddleware
from flwr.supercore.run import RunNotRunningException
from flwr.supernode import start_client_internal as client
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory
from flwr.supernode.nodestate.in_memory_nodestate import InMemoryNodeState
from flwr.supernode.servicer.runtime import runtime_handlers

from clients.pinned import load_pinned
from clients.settings import NodeFolder
from federation.bell import Bell
from federation.errors import UsageError
from federation.gate import Caller, Denied, Gate, Headers, Route
from federation.supervision import end_with_parent

LOOPBACK = "127.0.0.1"
MIB = 2**20
HOLD_S = 3.0
IDLE_S = 0.1
REPLY_POLL_S = 0.02
MAX_RETRY_DELAY_S = 5.0
WORKER_DIED = Error(ErrorCode.CLIENT_APP_CRASHED, "worker-died")
CALLS = ("send-task-heartbeat", "pull-task-input", "push-task-output", "confirm-message-received", "pull-messages")
OBJECTS = ("push-object", "pull-object", "push-messages")

log = logging.getLogger("paceline.supernode")


@dataclass(frozen=True)
class Connection:
    """Which coordinator to connect to, and as whom."""

    address: str
    ca: Path
    key: Path


def main(folder: Path) -> None:
    """Serve the node in `folder` until a signal."""
    place = NodeFolder(folder)
    address = load_pinned(place).address.removeprefix("https://").rstrip("/")
    serve(Connection(address, place.ca, place.supernode_key), place.secrets / "runtime.json")


def serve(connection: Connection, address_file: Path) -> None:
    """Connect and serve until a signal; the worker finds us through `address_file`."""
    factory = NodeStateFactory(objectstore_factory=ObjectStoreFactory())
    secret = secrets.token_hex(32)
    news = _News(Bell(HOLD_S))
    server = _listen(create_app(factory, secret.encode()), news, lambda port: _write(address_file, port, secret))
    add_exit_handler(lambda: setattr(server, "should_exit", True))
    _adapt(news)
    client.start_client_internal(
        state_factory=factory,
        server_address=connection.address,
        node_config={},
        root_certificates=connection.ca.read_bytes(),
        insecure=False,
        authentication_keys=_keys(connection.key),
        isolation=ISOLATION_MODE_PROCESS,
        trusted_entities={"paceline": "the installed bundle"},  # not empty: Flower then verifies the bundle
        superexec_auth_secret=secret.encode(),
        runtime_dependency_install=False,
    )


class _News:
    """Rings the worker's bell from another thread than the one that serves it."""

    def __init__(self, bell: Bell) -> None:
        self.bell = bell
        self.loop: asyncio.AbstractEventLoop | None = None

    def ring(self) -> None:
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self.bell.ring)


def _adapt(news: _News) -> None:
    """Change in Flower's SuperNode what FLOWER.md found slow or dangerous; each name is guarded by a test."""
    pause = SimpleNamespace(sleep=lambda s: time.sleep(IDLE_S if s >= 1 else REPLY_POLL_S))
    flower.adapt(client, "time", pause)
    flower.adapt(client, "_verify_fab", lambda fab, trusted: fab.content == flower.bundle())
    flower.adapt(client, "_init_connection", _with_our_bundle(client._init_connection))
    current = _Current()
    flower.adapt(client, "_pull_and_store_message", _ringing(client._pull_and_store_message, news, current))
    flower.adapt(client, "_push_messages", _answering(client._push_messages, current))
    flower.adapt(runtime_handlers, "acquire_task", _one_worker(runtime_handlers.acquire_task))
    flower.adapt(http_retry, "MAX_RETRY_DELAY", MAX_RETRY_DELAY_S)


def _with_our_bundle(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Take no bundle from the wire: the one with the right digest is installed here, any other fails verification."""

    def get_fab(digest: str, run_id: int) -> Fab:
        if digest == flower.bundle_digest():
            return Fab(digest, flower.bundle(), {"valid_license": "Valid"})
        log.error("run %s names the bundle %s…, not ours; refused", run_id, digest[:16])
        return Fab(digest, b"", {})

    @contextlib.contextmanager
    def connection(*args: object, **options: object) -> Iterator[tuple[Any, ...]]:
        with connect(*args, **options) as calls:
            yield (*calls[:4], get_fab, *calls[5:])

    return connection


@dataclass
class _Current:
    """The message that the SuperNode works on; it takes one at a time."""

    number: str = ""

    def remember(self, receive: Callable[[], Any]) -> Callable[[], Any]:
        """`receive`, keeping the number of what it gives."""

        def received() -> Any:
            found = receive()
            self.number = found[0].metadata.message_id if found else ""
            return found

        return received


class _OnlyAnswers:
    """Flower's node state, which shows replies to the present message only.

    The worker may still answer a message whose run has ended. Sent in the place of the present message's answer, it
    would make every later answer of this node one question late.
    """

    def __init__(self, state: InMemoryNodeState, current: _Current) -> None:
        self._state, self._current = state, current

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def get_messages_legacy(self, **options: Any) -> list[Any]:
        found = self._state.get_messages_legacy(**options)
        wanted = [message for message in found if message.metadata.reply_to_message_id == self._current.number]
        stale = [message.metadata.message_id for message in found if message not in wanted]
        if stale:
            log.warning("%s answers to a message of a run that has ended were dropped", len(stale))
            self._state.delete_messages(message_ids=stale)
        return wanted


def _answering(push: Callable[..., None], current: _Current) -> Callable[..., None]:
    def push_answer(**options: Any) -> None:
        push(**options | {"state": _OnlyAnswers(options["state"], current)})

    return push_answer


def _ringing(pull: Callable[..., int | None], news: _News, current: _Current) -> Callable[..., int | None]:
    def pull_and_ring(**options: Any) -> int | None:
        ordinary = {name: _ordinary(options[name]) for name in ("pull_object", "confirm_message_received")}
        run_id = pull(**options | ordinary | {"receive": current.remember(options["receive"])})
        if run_id is not None:
            news.ring()
        return run_id

    return pull_and_ring


def _ordinary(call: Callable[..., Any]) -> Callable[..., Any]:
    """Flower's `RunNotRunningException` slips past its own ``except Exception``, which would clear up.

    The message of a run that was stopped would stay, half received, and the worker would wait two hours for the rest.
    """

    def ordinary(*args: Any, **options: Any) -> Any:
        try:
            return call(*args, **options)
        except RunNotRunningException as error:
            raise RuntimeError("the run has ended") from error

    return ordinary


def _one_worker(
    acquire: Callable[[AcquireTaskRequest, InMemoryNodeState], AcquireTaskResponse],
) -> Callable[[AcquireTaskRequest, InMemoryNodeState], AcquireTaskResponse]:
    """There is one worker, and it does one task at a time: if it asks while a task is claimed, the one before died.

    The coordinator is then told at once; as shipped, it would learn a minute later.
    """

    def acquire_task(request: AcquireTaskRequest, state: InMemoryNodeState) -> AcquireTaskResponse:
        for task in state.get_tasks(statuses=[Status.STARTING, Status.RUNNING]):
            state.finish_task(task.task_id, SubStatus.FAILED, "")
            if _unread(state):
                if not state.get_tasks(statuses=[Status.PENDING]):  # one task per message, or they get out of step
                    state.create_task(task_type=TaskType.CLIENT_APP, run_id=task.run_id, fab_hash=task.fab_hash)
            else:
                state._store_error_replies({task.run_id}, WORKER_DIED)
        return acquire(request, state)

    return acquire_task


def _unread(state: InMemoryNodeState) -> bool:
    """Whether there is a message that no worker has taken yet; replies that wait to be sent do not count."""
    entries = state.msg_store.values()
    return any(not entry.is_retrieved and not entry.message.metadata.reply_to_message_id for entry in entries)


def _listen(app: FastAPI, news: _News, started: Callable[[int], None]) -> uvicorn.Server:
    """Serve the worker from a thread, on a free port of the loopback address."""
    listening = socket.create_server((LOOPBACK, 0))
    app.user_middleware[:] = [layer for layer in app.user_middleware if str(layer.cls) != str(RuntimeTracingMiddleware)]
    routes = {f"/v1/runtime/{name}": Route(app, MIB, _task, quiet=True) for name in CALLS}
    routes |= {f"/v1/runtime/{name}": Route(app, 8 * MIB, _task, quiet=True) for name in OBJECTS}
    routes["/v1/runtime/acquire-task"] = Route(app, MIB, _worker, waits=news.bell, quiet=True)
    config = uvicorn.Config(
        Gate("worker", routes, logging.getLogger("paceline.access")),
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)

    async def serve_worker() -> None:
        news.loop = asyncio.get_running_loop()
        await server.serve(sockets=[listening])

    def run() -> None:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(serve_worker())

    threading.Thread(target=run, name="runtime", daemon=True).start()
    started(listening.getsockname()[1])
    return server


async def _worker(headers: Headers) -> Caller | Denied:
    """Flower checks the worker's secret over the body."""
    return Caller("worker")


async def _task(headers: Headers) -> Caller | Denied:
    token = headers.get(TASK_TOKEN_HEADER, "")
    return Caller(token) if token else Denied(401, "a task's token is missing")


def _write(path: Path, port: int, secret: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"address": f"{LOOPBACK}:{port}", "secret": secret}, file)
    temporary.replace(path)


def _keys(path: Path) -> tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey]:
    try:
        key = load_ssh_private_key(path.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a node key ({error}); make one with `paceline node join`.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UsageError(f"{path} is not a P-384 key; make one with `paceline node join`.")
    return key, key.public_key()


if __name__ == "__main__":
    flower.configure_logs()
    end_with_parent()
    main(Path(sys.argv[1]))
