"""Flower's simulation engine: virtual nodes whose messages Ray's workers answer, and a Grid to reach them."""

from federation import flower

# isort: split
import contextlib
import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from flwr.app import Context, RecordDict
from flwr.common.constant import (
    HEARTBEAT_INTERVAL_INF,
    NOOP_ACCOUNT_NAME,
    NOOP_FLWR_AID,
    PARTITION_ID_KEY,
    SUPERLINK_NODE_ID,
)
from flwr.proto.task_pb2 import Task
from flwr.server.superlink.fleet.vce import start_vce
from flwr.server.superlink.fleet.vce.metrics import VceMetrics
from flwr.server.superlink.linkstate import LinkState, LinkStateFactory
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState, RunRecord
from flwr.serverapp import ServerApp
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME, NOOP_FEDERATION_ID
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.grid import InMemoryGrid

from clients.app import Answer, client_app
from federation.errors import LinkError
from server.app.inbox import Arrived
from simulations.ray_cluster import kill_workers, ray_running
from simulations.scenario import RayTerms

RUN, TASK = 1, 1
STOP_S = 4.0
"""Idle workers end by themselves within this time; busy ones are killed after it."""

Party = Callable[[int], Answer]
"""Who answers for the virtual node of this number, called in a process of Ray's."""


@dataclass
class VirtualNodes:
    """`nodes` numbers the parties by Flower's node numbers; `failure` is why the engine ended early, if it did."""

    grid: InMemoryGrid
    nodes: Mapping[int, int]
    ended: threading.Event = field(default_factory=threading.Event)
    failure: list[BaseException] = field(default_factory=list)

    def run(self, app: ServerApp, task: str) -> None:
        """Run a ServerApp here, in the thread of the caller, who sees its errors and may interrupt it."""
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = TASK, RUN, SUPERLINK_NODE_ID
        app(self.grid, Context(RUN, SUPERLINK_NODE_ID, {}, RecordDict(), {flower.TASK_KEY: task}))


class MemoryInbox:
    """`server.app.inbox.Inbox` over Flower's state in memory; `LinkError` once the engine has ended."""

    def __init__(self, nodes: VirtualNodes) -> None:
        self._nodes = nodes

    def collect(self, numbers: set[str]) -> Iterator[tuple[str, Arrived]]:
        """Replies to the messages `numbers` that have come, each with the number that it answers."""
        if self._nodes.ended.is_set():
            cause = next(iter(self._nodes.failure), None)
            raise LinkError(f"Flower's simulation engine has ended early: {cause or 'no reason given'}.") from cause
        for number in sorted(numbers):
            try:
                yield from ((number, message) for message in self._nodes.grid.pull_messages([number]))
            except KeyError:  # what Flower's state in memory raises for a message that has expired
                yield number, "the message expired"


@contextlib.contextmanager
def virtual_nodes(party: Party, count: int, terms: RayTerms) -> Iterator[VirtualNodes]:
    """`count` virtual nodes, answered by the deployed ClientApp in the workers of a Ray that ends with them.

    `party` is sent to the workers with every message, so that it should hold little.
    """
    factory, run = _memory()
    state = factory.state()
    grid = InMemoryGrid(factory)
    grid.set_run(run)
    nodes = VirtualNodes(grid, {_node(state): number for number in range(count)})
    stop = threading.Event()

    def engine() -> None:
        try:
            start_vce(
                backend_name="ray",
                backend_config_json_stream=_backend(terms),
                app_dir="",
                is_app=False,
                f_stop=stop,
                run=run,
                metrics=VceMetrics(),
                client_app=client_app(lambda context: party(int(context.node_config[PARTITION_ID_KEY]))),
                state_factory=factory,
                existing_nodes_mapping=dict(nodes.nodes),
            )
        except BaseException as error:
            nodes.failure.append(error)
        finally:
            nodes.ended.set()

    thread = threading.Thread(target=engine, name="flower-simulation", daemon=True)
    with _only_warnings(), ray_running(terms.address, terms.cpus, terms.object_store_mb):
        thread.start()
        try:
            yield nodes
        finally:
            _stop(thread, stop)


def _stop(thread: threading.Thread, stop: threading.Event) -> None:
    stop.set()
    thread.join(STOP_S)
    if thread.is_alive():  # Flower waits for workers that are busy
        kill_workers()
        thread.join(STOP_S)


def _memory() -> tuple[LinkStateFactory, Run]:
    """Flower's state in memory, with one run whose only task is the ServerApp's."""
    run = Run.create_empty(RUN)
    run.primary_task_id, run.federation_id = TASK, NOOP_FEDERATION_ID
    factory = LinkStateFactory(FLWR_IN_MEMORY_DB_NAME, NoOpFederationManager(), ObjectStoreFactory())
    state = factory.state()
    assert isinstance(state, InMemoryLinkState)  # noqa: S101 - narrows the type; the name asks for it
    state.run_ids[RUN], state.task_store[TASK] = RunRecord(run=run), Task(task_id=TASK, run_id=RUN)
    return factory, run


def _node(state: LinkState) -> int:
    """A node that is always there; nobody authenticates within one process."""
    number = state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, secrets.token_bytes(32), HEARTBEAT_INTERVAL_INF)
    state.acknowledge_node_heartbeat(number, HEARTBEAT_INTERVAL_INF)
    return number


def _backend(terms: RayTerms) -> str:
    resources = {"num_cpus": terms.num_cpus_per_party, "num_gpus": terms.num_gpus_per_party}
    return json.dumps({"client_resources": resources, "actor": {"tensorflow": 0}})


@contextlib.contextmanager
def _only_warnings() -> Iterator[None]:
    """Flower's own remarks would break the lines of a progress bar."""
    log = logging.getLogger("flwr")
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)
