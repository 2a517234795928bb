"""The coordinator of a secure round dies by kill -9: the survivors signed who they are, no share is open yet."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tomli_w

from clients.policy import Policy
from federation import wire
from federation.ids import PartyId
from federation.link import Link, Reply
from federation.messages import UnmaskRequest
from federation.roles import Role
from federation.workloads import find
from server.coordinator import open_coordinator
from server.rounds import run_task
from simulations.parties import Cast, agree, gather
from simulations.seeded import SeededSource

pytestmark = pytest.mark.processes

WORKLOAD = "running_pace"
LATE, *OTHERS = ALL = tuple(PartyId(name) for name in ("a-north", "b-south", "c-west", "d-east"))
MAKERS = PartyId("makers")
TASK = {
    "name": "summed",
    "title": "A task whose coordinator is killed",
    "workload": WORKLOAD,
    "purpose": "train-motion-models",
    "rounds": 1,
    "privacy": {"unit": "none"},
    "training": {"learning_rate": 0.05, "batch_rows": 16},
    "exchange": {"min_parties": 2, "secure": True, "up": "lane", "up_bits": 20, "clip": 5.0},
    "cohort": [{"party": party, "people": 6} for party in ALL] + [{"party": MAKERS}],
}
DIES = """
import os, signal, sys
from pathlib import Path
from clients.node import open_node
from federation import wire
from federation.link import Reply
from server.coordinator import open_coordinator
from server.rounds import run_task
from simulations.loopback import Loopback

path, late, *others = sys.argv[1:]
coordinator = open_coordinator(Path(path) / "coordinator")
inner = Loopback({party: open_node(Path(path) / party) for party in (late, *others)})

class Link:
    reachable = inner.reachable

    def ask(self, requests, deadline_s):
        kind = wire.read_request(next(iter(requests.values())), coordinator.identity.public_key, 1 << 20)[0].kind
        if kind == "unmask":
            os.kill(os.getpid(), signal.SIGKILL)
        for reply in inner.ask(requests, deadline_s):
            yield Reply(late, None, "late") if (kind, reply.party) == ("train", late) else reply

run_task(coordinator, Link(), "summed")
"""


@dataclass
class Noted:
    """A link that notes for whom shares are asked."""

    inner: Link
    key: bytes
    survivors: list[tuple[PartyId, ...]] = field(default_factory=list)

    def reachable(self) -> frozenset[PartyId]:
        return self.inner.reachable()

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        question, _ = wire.read_request(next(iter(requests.values())), self.key, 1 << 20)
        if isinstance(question, UnmaskRequest):
            self.survivors.append(question.survivors)
        return self.inner.ask(requests, deadline_s)


def test_a_killed_coordinator_asks_for_no_second_kind_of_share(tmp_path: Path, waiving: Callable[..., Policy]) -> None:
    """The late party's update is under a mask whose key the others are about to open: its own mask must stay closed."""
    cast = [Cast(party, Role.DATA_PROVIDER, find(WORKLOAD).invent(seed, 6, 2)) for seed, party in enumerate(ALL)]
    federation = gather(
        tmp_path, WORKLOAD, [*cast, Cast(MAKERS, Role.ALGORITHM_PROVIDER)], waiving("summed"), SeededSource(1)
    )
    file = tmp_path / "task.toml"
    file.write_text(tomli_w.dumps(TASK), "utf-8")
    name = agree(federation, file)
    killed = subprocess.run([sys.executable, "-c", DIES, tmp_path, *ALL, MAKERS], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    coordinator = open_coordinator(tmp_path / "coordinator")
    link = Noted(federation.link, coordinator.identity.public_key)
    run_task(coordinator, link, name)
    assert link.survivors == [tuple(OTHERS)]
    [row] = coordinator.store.rounds(coordinator.store.task(name).digest)[1:]
    assert (row.attempt, row.parties) == (0, tuple(OTHERS))
