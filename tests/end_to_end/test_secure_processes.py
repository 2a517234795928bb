"""Tasks over real Flower processes and TLS, which are killed with kill -9 in the middle of a round."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
from flwr.supercore.runtime import RuntimeHttpClient

from clients.policy import Policy
from federation import wire
from federation.ids import PartyId
from federation.link import Link, Reply
from federation.messages import TrainRequest
from federation.roles import Role
from federation.supervision import spawn
from federation.workload import flatten
from federation.workloads import find
from server.app import executor
from server.app.link import FlowerLink, over_http
from server.coordinator import from_bytes
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
TASK: dict[str, Any] = {
    "name": "summed",
    "title": "A task whose processes are killed",
    "workload": WORKLOAD,
    "purpose": "train-motion-models",
    "rounds": 1,
    "round_deadline_s": 20.0,
    "privacy": {"unit": "none"},
    "training": {"learning_rate": 0.05, "batch_rows": 16, "public_weight": 1.0, "public_people": 4},
    "exchange": {"min_parties": 2, "secure": True, "up": "lane", "up_bits": 20, "clip": 5.0},
    "cohort": [{"party": party, "people": 0 if party == MAKERS else 6} for party in ALL],
}
DIFFERENCES = TASK["exchange"] | {"down": "ecq", "down_bits": 8.0}


@pytest.fixture
def federation(tmp_path: Path, waiving: Callable[..., Policy]) -> Federation:
    cast = [Cast(party, Role.DATA_PROVIDER, find(WORKLOAD).invent(seed, 6, 2)) for seed, party in enumerate(ALL[:3])]
    return gather(
        tmp_path,
        WORKLOAD,
        [*cast, Cast(MAKERS, Role.ALGORITHM_PROVIDER)],
        waiving("summed", "followed", "first", "second"),
        SeededSource(1),
    )


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


def agreed(federation: Federation, path: Path, **changes: Any) -> str:
    """Launch a task."""
    file = path / "task.toml"
    file.write_text(tomli_w.dumps(TASK | changes), "utf-8")
    return agree(federation, file)


def started(processes: Processes, name: str) -> str:
    """The token of a new run."""
    place = processes.place
    secret = secrets.load(place.path / "secrets")
    start_run(Control(f"127.0.0.1:{place.private_port}", place.path / "pki" / "ca.crt", secret.control), name)
    return acquired(processes, secret.executor)


@contextmanager
def coordinating(processes: Processes, name: str) -> Iterator[FlowerLink]:
    """The link of a run whose ServerApp is this test."""
    place, token = processes.place, started(processes, name)
    links: list[FlowerLink] = []
    ready, over = threading.Event(), threading.Event()

    def lead(grid: executor.HttpGrid, _: object) -> None:
        links.append(over_http(grid, place.active))
        ready.set()
        over.wait(120)

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
    """A link on which something happens as the updates of a round are asked for, or after the reply of a party came.

    `carried`: what each such question brought of the model, and how many differences, by round and party.
    """

    inner: Link
    key: bytes
    asked: dict[int, Callable[[], None]] = field(default_factory=dict)
    came: dict[tuple[int, PartyId], Callable[[], None]] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    carried: dict[tuple[int, PartyId], list[tuple[str, int]]] = field(default_factory=dict)

    def reachable(self) -> frozenset[PartyId]:
        return self.inner.reachable()

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        asked = {party: wire.read_request(blob, self.key, 1 << 20)[0] for party, blob in requests.items()}
        first, *_ = asked.values()
        self.kinds.append(first.kind)
        for party, question in asked.items():
            if isinstance(question, TrainRequest):
                brought = self.carried.setdefault((question.round, party), [])
                brought.append((question.carries, len(question.bases)))
        training = isinstance(first, TrainRequest)
        if training:
            self.asked.pop(first.round, lambda: None)()
        for reply in self.inner.ask(requests, deadline_s):
            if training:
                self.came.pop((first.round, reply.party), lambda: None)()
            yield reply


def test_a_round_is_summed_though_one_node_dies_before_its_answer_and_one_behind_it(
    federation: Federation, processes: Processes, tmp_path: Path
) -> None:
    name, coordinator = agreed(federation, tmp_path), federation.coordinator

    def comes_back() -> None:
        processes.kill(f"worker {SOUTH}")
        work(processes, SOUTH)

    with coordinating(processes, name) as link:
        wait_until(lambda: link.reachable() == frozenset(ALL), "all nodes are connected")
        dies, dies_and_returns = {1: lambda: processes.kill(f"worker {NORTH}")}, {(1, SOUTH): comes_back}
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


class Killed(BaseException):
    """The coordinator's process ends here."""


def test_nodes_follow_differences_though_everything_is_killed_and_started_again(
    federation: Federation, processes: Processes, tmp_path: Path
) -> None:
    """Nobody is sent the whole model twice, the node that was dead in the round before is sent two differences."""
    changes = {"name": "followed", "rounds": 3, "exchange": {"min_parties": 2, "down": "ecq", "down_bits": 8.0}}
    name, coordinator = agreed(federation, tmp_path, **changes), federation.coordinator

    def ends() -> None:
        raise Killed

    with coordinating(processes, name) as link:
        wait_until(lambda: link.reachable() == frozenset(ALL), "all nodes are connected")
        dies, ended = {2: lambda: processes.kill(f"worker {NORTH}")}, {(3, WEST): ends}
        before = Kills(link, coordinator.identity.public_key, dies, ended)
        with pytest.raises(Killed):
            run_task(coordinator, before, name)
    for process in ("superlink", *(f"supernode {party}" for party in ALL), *(f"worker {party}" for party in ALL[1:])):
        processes.kill(process)
    processes.start("superlink")
    wait_until(processes.listening, "the SuperLink listens")
    for party in ALL:
        processes.start(f"supernode {party}")
        work(processes, party)
    with coordinating(processes, name) as link:
        wait_until(lambda: link.reachable() == frozenset(ALL), "all nodes are connected again")
        after = Kills(link, coordinator.identity.public_key)
        run_task(coordinator, after, name)
    rounds = coordinator.store.rounds(coordinator.store.task(name).digest)[1:]
    assert [(row.attempt, {*row.parties}) for row in rounds] == [(0, {*ALL}), (1, {*ALL[1:]}), (2, {*ALL})]
    for party in ALL:
        assert before.carried[1, party] == [("model", 0)]
        assert before.carried[2, party] == [("differences", 1)]
        assert after.carried[3, party] == [("differences", 2 if party == NORTH else 1)]


LEAD = """
import sys
from pathlib import Path
from server.app import executor
from server.app.link import over_http
from server.coordinator import open_coordinator
from server.rounds import run_task
from simulations.processes import place
from simulations.processes.roles import runtime
folder, coordinator, name, token = sys.argv[1:]
here, opened = place.read(Path(folder)), open_coordinator(Path(coordinator))
lead = lambda grid, _: run_task(opened, over_http(grid, here.active), name)
sys.exit(not executor.run_one(runtime(here), token, lead))
"""
"""A coordinator's process of one task."""


def test_two_tasks_at_once_with_the_same_parties_do_not_mix(
    federation: Federation, processes: Processes, tmp_path: Path
) -> None:
    """A mask that stays in a sum fills the lanes, and would move the model by as much as all parties together may."""
    place, store, folder = processes.place, federation.coordinator.store, federation.coordinator.folder.path
    names = [agreed(federation, tmp_path, name=name, rounds=2, exchange=DIFFERENCES) for name in ("first", "second")]
    for name in names:
        given = (str(place.path), str(folder), name, started(processes, name))
        with (place.path / "logs" / f"{name}.log").open("ab") as log:
            processes.running[name] = spawn([sys.executable, "-c", LEAD, *given], log)
    assert [processes.running[name].wait(120) for name in names] == [0, 0]
    began, ended = [], []
    for name in names:
        rows = store.rounds(store.task(name).digest)
        began.append(rows[0].committed_at)
        ended.append(rows[-1].committed_at)
        assert [{*row.parties} for row in rows[1:]] == [{*ALL}] * 2
        models = [from_bytes(row.round, store.model(row.model)).weights for row in rows]
        for before, after in pairwise(flatten(weights, sorted(weights)) for weights in models):
            assert 0 < np.linalg.norm(after - before) < TASK["exchange"]["clip"] / 2
    assert max(began) < min(ended)
