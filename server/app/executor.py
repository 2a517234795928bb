"""Fetches Flower's ServerApp tasks and runs each in a process of its own, with installed code."""

from federation import flower

# isort: split
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from subprocess import Popen
from types import FrameType

import httpx
from flwr.app import Context
from flwr.common.constant import SubStatus
from flwr.common.serde import context_from_proto, run_from_proto
from flwr.proto.runtime_pb2 import AcquireTaskRequest, PullTaskInputRequest, PushTaskOutputRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
from flwr.supercore.retry import http_retry, make_simple_http_retry_invoker
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid

from federation.errors import PacelineError
from federation.supervision import end, spawn

POLL_S = 0.1
STOP_S = 5.0
MAX_RETRY_DELAY_S = 2.0
ACQUIRE = frozenset({"/flwr.proto.Runtime/AcquireTask"})

log = logging.getLogger("paceline.executor")
Work = Callable[[HttpGrid, Context], object]


@dataclass(frozen=True)
class Runtime:
    """The private port, as its clients need it."""

    address: str
    ca: bytes = field(repr=False)
    secret: bytes = field(repr=False)


def execute(runtime: Runtime, command: Sequence[str]) -> None:
    """Start `command` for every task that Flower hands out, until SIGINT or SIGTERM; it reads its token from stdin."""
    interrupt_on_term()
    flower.adapt(http_retry, "MAX_RETRY_DELAY", MAX_RETRY_DELAY_S)  # as shipped, up to 20 s
    client = RuntimeHttpClient.from_server_address(
        server_address=runtime.address,
        insecure=False,
        root_certificates=runtime.ca,
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="flwr-serverapp"),
            SuperExecAuthHttpInterceptor(master_secret=runtime.secret, protected_methods=ACQUIRE),
        ],
        retry_invoker=make_simple_http_retry_invoker(),
    )
    children: list[Popen[bytes]] = []
    try:
        while True:
            token = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP])).token
            children = [child for child in children if child.poll() is None]
            if token:
                children.append(_start(command, token))
            else:
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        log.info("stopping")
    finally:
        for child in children:
            end(child, STOP_S)


def _start(command: Sequence[str], token: str) -> Popen[bytes]:
    child = spawn(command, None)
    if child.stdin is None:
        raise AssertionError("spawn gives every program a pipe")
    child.stdin.write(token.encode() + b"\n")
    child.stdin.flush()
    return child


def read_token() -> str:
    """The token that the executor wrote; call before `end_with_parent` reads on from the same pipe."""
    return os.read(sys.stdin.fileno(), 4096).decode().strip()


def run_one(runtime: Runtime, token: str, work: Work) -> bool:
    """Run one task to its end and report how it ended; True if it ended well."""
    flower.adapt(http_retry, "MAX_RETRY_DELAY", MAX_RETRY_DELAY_S)
    grid = HttpGrid(runtime.address, False, runtime.ca, token=token)
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(grid._runtime_client))
    heartbeat.start()
    failure = "the run was stopped"
    try:
        work(grid, _context(grid))
        failure = ""
    except PacelineError as error:
        failure = str(error)
        log.error("%s", error)
    except KeyboardInterrupt:
        log.warning(failure)
    except Exception as error:
        failure = f"internal error: {type(error).__name__}"
        log.exception("internal error")
    finally:
        _report(grid, failure)
        heartbeat.stop()
        grid.close()
    return not failure


def _context(grid: HttpGrid) -> Context:
    """Claim the task's input; the bundle that comes along is not even looked at."""
    given = grid._runtime_client.PullTaskInput(PullTaskInputRequest())
    run = run_from_proto(given.run)
    grid.set_run(run)
    context = context_from_proto(given.context)
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = given.task_id, run.run_id, context.node_id
    context.run_config = {flower.TASK_KEY: run.override_config.get(flower.TASK_KEY, "")}
    return context


def _report(grid: HttpGrid, failure: str) -> None:
    grid._retry_invoker.max_tries = 1
    status = SubStatus.FAILED if failure else SubStatus.COMPLETED
    try:
        grid._runtime_client.PushTaskOutput(PushTaskOutputRequest(sub_status=status, details=failure))
    except httpx.HTTPError as error:
        log.warning("Flower was not told how the run ended: %s", error)


def interrupt_on_term() -> None:
    """Let SIGTERM end what runs as Ctrl-C does; for the main thread of a process of ours."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
