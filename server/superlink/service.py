"""One SuperLink process with two listening ports: the Fleet API for partners, the rest for this machine only."""

from federation import flower

# isort: split
import asyncio
import hmac
import logging
import logging.handlers
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from flwr.common.constant import ISOLATION_MODE_PROCESS, TRANSPORT_TYPE_GRPC_RERE
from flwr.proto.fleet_pb2 import ActivateNodeRequest, ActivateNodeResponse, PushMessagesRequest, PushMessagesResponse
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.routers.runtime.tracing import RuntimeTracingMiddleware
from flwr.superlink import main
from flwr.superlink.auth_plugin import NoOpControlAuthnPlugin
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig
from flwr.superlink.routers.control.middlewares import (
    ControlEventLogMiddleware,
    ControlLicenseMiddleware,
    ControlSensitiveResponseMiddleware,
)
from flwr.superlink.routers.fleet.middlewares import FleetEventLogMiddleware
from flwr.superlink.servicer.fleet import fleet_handlers

from federation.bell import Bell
from federation.gate import App, Caller, Denied, Gate, Headers, Route
from server.active import Active
from server.ports import LOOPBACK, listen
from server.superlink import parts
from server.superlink.members import Doorkeeper, LinkStateNodes, Membership
from server.superlink.secrets import Secrets

MIB = 2**20
OBJECT_BYTES = 8 * MIB
CALL_BYTES = 1 * MIB
HOLD_S = 3.0

UNUSED_LAYERS = {
    str(layer)
    for layer in (
        ControlEventLogMiddleware,
        ControlLicenseMiddleware,
        ControlSensitiveResponseMiddleware,
        FleetEventLogMiddleware,
        RuntimeTracingMiddleware,
    )
}
"""Parts of Flower for things that we do not switch on; each costs a third of a millisecond per request."""

FLEET_MESSAGES = ("activate-node", "push-messages", "pull-messages")
FLEET_PARTS = ("deactivate-node", "send-node-heartbeat", "get-run", "get-fab", "confirm-message-received")
CONTROL = ("start-run", "stop-run", "list-runs")
RUNTIME_CALLS = ("send-task-heartbeat", "pull-task-input", "push-task-output", "confirm-message-received", "get-nodes")


@dataclass(frozen=True)
class Setup:
    """Where to listen, with which certificate, and where Flower keeps its state."""

    bind: str
    port: int
    private_port: int
    ca: Path
    certificate: Path
    key: Path
    database: Path
    log: Path
    secrets: Secrets = field(repr=False)


@dataclass(frozen=True)
class _Bells:
    """News for nodes, for the ServerApp, and for the executor."""

    nodes: Bell
    rounds: Bell
    runs: Bell


def serve(setup: Setup, active: Active, public_api: Callable[[LinkStateNodes], App]) -> None:
    """Listen until SIGINT or SIGTERM; `LinkError` if a port is in use."""
    public = listen(setup.bind, setup.port)
    private = listen(LOOPBACK, setup.private_port)
    _keep_private(setup.database)
    app, state = _superlink(setup, active)
    log = _access_log(setup.log)
    bells = _Bells(Bell(HOLD_S), Bell(HOLD_S), Bell(HOLD_S))
    public_routes = {
        **_fleet(app, state, active, bells),
        "/paceline/v1/": Route(public_api(LinkStateNodes(state)), CALL_BYTES, _anyone, frozenset({"GET", "POST"})),
    }
    servers = [
        (_uvicorn(Gate("public", public_routes, log), setup), public),
        (_uvicorn(Gate("private", _private(app, state, setup.secrets, bells), log), setup), private),
    ]
    _run_until_signal(servers)


def _keep_private(database: Path) -> None:
    """Updates and models lie in Flower's database for a while; as shipped, every user of the machine may read it."""
    database.touch(mode=0o600)
    for file in database.parent.glob(f"{database.name}*"):
        file.chmod(0o600)


def _superlink(setup: Setup, active: Active) -> tuple[FastAPI, LinkState]:
    """Flower's own application, with our membership and two stricter Fleet handlers."""
    flower.adapt(main, "get_federation_manager", lambda is_simulation: Membership(active))
    flower.adapt(fleet_handlers, "activate_node", _activate(fleet_handlers.activate_node))
    flower.adapt(fleet_handlers, "push_messages", _push_own_messages(fleet_handlers.push_messages))
    app = main.create_app(_config(setup), SuperLinkLifespan)
    app.user_middleware[:] = [layer for layer in app.user_middleware if str(layer.cls) not in UNUSED_LAYERS]
    return app, app.state.linkstate_factory.state()


def _config(setup: Setup) -> SuperLinkLifespanConfig:
    certificates = (setup.ca.read_bytes(), setup.certificate.read_bytes(), setup.key.read_bytes())
    return SuperLinkLifespanConfig(
        control_address="",
        health_server_address=None,
        host=LOOPBACK,
        port=setup.private_port,
        insecure=False,
        certificates=certificates,
        superexec_auth_secret=setup.secrets.executor,
        authn_plugin=NoOpControlAuthnPlugin(),  # the gate asks for the secret before
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=True,
        fleet_api_type=TRANSPORT_TYPE_GRPC_RERE,
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=str(setup.ca),
        ssl_certfile=str(setup.certificate),
        ssl_keyfile=str(setup.key),
        database=str(setup.database),
        isolation=ISOLATION_MODE_PROCESS,
        runtime_dependency_install=False,
    )


def _activate(
    original: Callable[..., ActivateNodeResponse],
) -> Callable[[ActivateNodeRequest, LinkState], ActivateNodeResponse]:
    """Let a node that was killed come back at once.

    As shipped, it is refused until its old connection counts as lost, a minute later. The caller has just proved
    with its signature that it holds the key of this very node.
    """

    def activate_node(request: ActivateNodeRequest, state: LinkState) -> ActivateNodeResponse:
        node_id = state.get_node_id_by_public_key(request.public_key)
        if node_id is not None:
            state.deactivate_node(node_id)
        return original(request=request, state=state)

    return activate_node


def _push_own_messages(
    original: Callable[..., PushMessagesResponse],
) -> Callable[[PushMessagesRequest, LinkState], PushMessagesResponse]:
    """Refuse a reply that one node sends in another node's name; as shipped, nobody compares them."""

    def push_messages(request: PushMessagesRequest, state: LinkState) -> PushMessagesResponse:
        if any(message.metadata.src_node_id != request.node.node_id for message in request.messages_list):
            raise FlowerError(ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED, "a node may send replies in its own name only")
        return original(request=request, state=state)

    return push_messages


def _fleet(app: FastAPI, state: LinkState, active: Active, bells: _Bells) -> dict[str, Route]:
    door = Doorkeeper(state, active)
    routes = {f"/v1/fleet/{name}": Route(app, CALL_BYTES, door.message) for name in FLEET_MESSAGES}
    routes |= {f"/v1/fleet/{name}": Route(app, CALL_BYTES, door.part) for name in FLEET_PARTS}
    for name, answer in (("push-object", parts.fleet_push(state)), ("pull-object", parts.fleet_pull(state))):
        routes[f"/v1/fleet/{name}"] = Route(parts.Parts(app, answer), OBJECT_BYTES, door.part, quiet=True)
    routes["/v1/fleet/send-node-heartbeat"] = Route(app, CALL_BYTES, door.part, quiet=True)
    routes["/v1/fleet/pull-messages"] = Route(app, CALL_BYTES, door.message, waits=bells.nodes, quiet=True)
    routes["/v1/fleet/push-messages"] = Route(app, CALL_BYTES, door.message, rings=(bells.rounds,))
    return routes


def _private(app: FastAPI, state: LinkState, secrets: Secrets, bells: _Bells) -> dict[str, Route]:
    control = _bearer(secrets.control)
    routes = {f"/v1/control/{name}": Route(app, CALL_BYTES, control) for name in CONTROL}
    routes["/v1/control/start-run"] = Route(app, CALL_BYTES, control, rings=(bells.runs,))
    routes |= {f"/v1/runtime/{name}": Route(app, CALL_BYTES, _task, quiet=True) for name in RUNTIME_CALLS}
    for name, answer in (("push-object", parts.runtime_push(state)), ("pull-object", parts.runtime_pull(state))):
        routes[f"/v1/runtime/{name}"] = Route(parts.Parts(app, answer), OBJECT_BYTES, _task, quiet=True)
    routes["/v1/runtime/acquire-task"] = Route(app, CALL_BYTES, _executor, waits=bells.runs, quiet=True)
    routes["/v1/runtime/pull-messages"] = Route(app, CALL_BYTES, _task, waits=bells.rounds, quiet=True)
    routes["/v1/runtime/push-messages"] = Route(app, OBJECT_BYTES, _task, rings=(bells.nodes,), quiet=True)
    return routes


async def _anyone(headers: Headers) -> Caller | Denied:
    """The public API of ours checks tokens and signatures itself."""
    return Caller("")


async def _executor(headers: Headers) -> Caller | Denied:
    """Flower checks the executor's secret over the body."""
    return Caller("executor")


async def _task(headers: Headers) -> Caller | Denied:
    """Flower checks the token of the task; without one there is nothing to check."""
    token = headers.get(TASK_TOKEN_HEADER, "")
    return Caller(token) if token else Denied(401, "a task's token is missing")


def _bearer(secret: bytes) -> Callable[[Headers], Awaitable[Caller | Denied]]:
    expected = b"Bearer " + secret

    async def identify(headers: Headers) -> Caller | Denied:
        if hmac.compare_digest(headers.get("authorization", "").encode(), expected):
            return Caller("operator")
        return Denied(401, "the control secret is missing or wrong")

    return identify


def _uvicorn(app: Gate, setup: Setup) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            ssl_certfile=str(setup.certificate),
            ssl_keyfile=str(setup.key),
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
            limit_concurrency=2000,
        )
    )


def _run_until_signal(servers: list[tuple[uvicorn.Server, socket.socket]]) -> None:
    """Serve both ports from one loop in a thread; the main thread waits for a signal."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    async def both() -> None:
        await asyncio.gather(*(server.serve(sockets=[listening]) for server, listening in servers))

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=servers[0][0].config.get_loop_factory()) as runner:
                runner.run(both())
        finally:
            stop.set()

    thread = threading.Thread(target=run, name="superlink")
    thread.start()
    stop.wait()
    for server, _ in servers:
        server.should_exit = True
    thread.join()


def _access_log(path: Path) -> logging.Logger:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = logging.getLogger("paceline.access")
    log.propagate = False
    log.setLevel(logging.INFO)
    log.addHandler(logging.handlers.RotatingFileHandler(path, maxBytes=10 * MIB, backupCount=5))
    return log
