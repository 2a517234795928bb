"""A secure task over real Flower processes and TLS, whose nodes are killed with kill -9 in the middle of a round."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tomli_w
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
from flwr.supercore.runtime import RuntimeHttpClient

from clients.policy import Policy
from federation import wire
from federation.consent import Purpose
from federation.ids import PartyId
from federation.link import Link, Reply
from federation.roles import Role
from federation.supervision import spawn
from federation.workloads import find
from server.app import executor
from server.app.link import FlowerLink, over_http
from server.rounds import run_task
from server.superlink import secrets, start_run
from server.superlink.control import Control
from simulations.parties import Cast, Federation, agree, gather
from simulations.processes.launch import Processes, wait_until
from simulations.processes.roles import runtime
from simulations.seeded import SeededSource

pytestmark = pytest.mark.processes

NORTH, SOUTH, WEST, MAKERS = ALL = tuple(PartyId(name) for name in ("a-north", "b-south", "c-west", "d-makers"))
WORKLOAD = "running_pace"
POLICY = Policy(
    purposes=(Purpose.TRAIN_MOTION_MODELS,),
    workloads=(WORKLOAD,),
    max_epsilon=1.0,
    delta=1e-3,
    max_epsilon_per_task=1.0,
    min_parties=2,
    min_people=1,
    allow_unprotected=("summed",),
)
TASK = {
    "name": "summed",
    "title": "A task whose nodes are killed",
    "workload": WORKLOAD,
    "purpose": "train-motion-models",
    "rounds": 1,
    "round_deadline_s": 15.0,
    "privacy": {"unit": "none"},
    "training": {"learning_rate": 0.05, "batch_rows": 16, "public_weight": 1.0, "public_people": 4},
    "exchange": {"min_parties": 2, "secure": True, "up": "lane", "up_bits": 20, "clip": 5.0},
    "cohort": [{"party": party, "people": 0 if party == MAKERS else 6} for party in ALL],
}


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    cast = [Cast(party, Role.DATA_PROVIDER, find(WORKLOAD).invent(seed, 6, 2)) for seed, party in enumerate(ALL[:3])]
    return gather(tmp_path, WORKLOAD, [*cast, Cast(MAKERS, Role.ALGORITHM_PROVIDER)], POLICY, SeededSource(1))


@pytest.fixture
def processes(federation: Federation, tmp_path: Path) -> Iterator[Processes]:
    """A SuperLink, and of each party its SuperNode and its worker, who has the node's folder."""
    with Processes(tmp_path, [*ALL]) as started:
        started.start("superlink")
        for party in ALL:
            work(started, party)
        wait_until(started.listening, "the SuperLink listens")
        for party in ALL:
            started.start(f"supernode {party}")
        yield started


def work(processes: Processes, party: PartyId) -> None:
    """Start the real worker of a node."""
    with (processes.place.path / "logs" / f"worker-{party}.log").open("ab") as log:
        command = [sys.executable, "-m", "clients.worker", str(processes.place.node(party))]
        processes.running[f"worker {party}"] = spawn(command, log)


@contextmanager
def coordinating(processes: Processes) -> Iterator[FlowerLink]:
    """The link of a run whose ServerApp is this test."""
    place = processes.place
    secret = secrets.load(place.path / "secrets")
    start_run(Control(f"127.0.0.1:{place.private_port}", place.path / "pki" / "ca.crt", secret.control), "summed")
    links: list[FlowerLink] = []
    ready, over = threading.Event(), threading.Event()

    def lead(grid: executor.HttpGrid, _: object) -> None:
        links.append(over_http(grid, place.active))
        ready.set()
        over.wait(120)

    token = acquired(processes, secret.executor)
    thread = threading.Thread(target=executor.run_one, args=(runtime(place), token, lead))
    thread.start()
    try:
        assert ready.wait(30)
        yield links[0]
    finally:
        over.set()
        thread.join()


def acquired(processes: Processes, secret: bytes) -> str:
    client = RuntimeHttpClient.from_server_address(
        server_address=f"127.0.0.1:{processes.place.private_port}",
        insecure=False,
        root_certificates=(processes.place.path / "pki" / "ca.crt").read_bytes(),
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="flwr-serverapp"),
            SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=executor.ACQUIRE),
        ],
    )
    try:
        return str(client.AcquireTask(AcquireTaskRequest(supported_task_types=["flwr-serverapp"])).token)
    finally:
        client.close()


@dataclass
class Kills:
    """A link on which something happens as a kind of question is asked, or after the reply of a party came."""

    inner: Link
    key: bytes
    asked: dict[str, Callable[[], None]]
    came: dict[tuple[str, PartyId], Callable[[], None]]
    kinds: list[str] = field(default_factory=list)

    def reachable(self) -> frozenset[PartyId]:
        return self.inner.reachable()

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        kind = wire.read_request(next(iter(requests.values())), self.key, 1 << 20)[0].kind
        self.kinds.append(kind)
        self.asked.pop(kind, lambda: None)()
        for reply in self.inner.ask(requests, deadline_s):
            self.came.pop((kind, reply.party), lambda: None)()
            yield reply


def test_a_round_is_summed_though_one_node_dies_before_its_answer_and_one_behind_it(
    federation: Federation, processes: Processes, tmp_path: Path
) -> None:
    file, coordinator = tmp_path / "task.toml", federation.coordinator
    file.write_text(tomli_w.dumps(TASK), "utf-8")
    name = agree(federation, file)

    def comes_back() -> None:
        processes.kill(f"worker {SOUTH}")
        work(processes, SOUTH)

    with coordinating(processes) as link:
        wait_until(lambda: link.reachable() == frozenset(ALL), "all nodes are connected")
        dies, dies_and_returns = {"train": lambda: processes.kill(f"worker {NORTH}")}, {("train", SOUTH): comes_back}
        kills = Kills(link, coordinator.identity.public_key, dies, dies_and_returns)
        run_task(coordinator, kills, name)
    digest = coordinator.store.task(name).digest
    [_, committed] = coordinator.store.rounds(digest)
    assert kills.kinds == ["initialise", "prepare", "train", "agree", "unmask"]
    assert kills.asked == kills.came == {}
    assert tuple(committed.parties) == (SOUTH, WEST, MAKERS)
    outcomes = {(row.kind, row.party): row.outcome for row in coordinator.store.party_rounds(digest)}
    assert outcomes.pop(("train", NORTH)) == "late"
    assert set(outcomes.values()) == {"answered"}
