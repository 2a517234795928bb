"""What must hold of a federation whose processes were killed, read from its own databases."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clients import budget
from clients.node import Node, open_node
from federation import codecs, wire
from federation.errors import Refused
from federation.ids import TaskDigest
from federation.roles import Step
from federation.workload import Vector, flatten
from server.coordinator import from_bytes
from server.settings import ServerFolder
from server.store import RoundRow, ServerStore, open_store
from simulations.chaos.stage import NODES, TASK

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Committed:
    """The coordinator's committed rounds at one moment: (round, attempt, digest of the model)."""

    rounds: tuple[tuple[int, int | None, str], ...] = ()

    @property
    def last(self) -> int:
        """The last committed round, -1 before the first weights."""
        return self.rounds[-1][0] if self.rounds else -1


@dataclass
class Verdict:
    """What was found wrong; all lists empty means that every promise held."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    uncharged: list[str] = field(default_factory=list)
    recomputed: int = 0
    charged: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not (self.lost or self.doubled or self.uncharged)


def committed(coordinator: Path) -> Committed:
    """What is committed now."""
    with open_store(ServerFolder(coordinator)) as store:
        digest = store.task(TASK).digest
        return Committed(tuple((row.round, row.attempt, row.model) for row in store.rounds(digest)))


def judge(path: Path, seen: list[Committed]) -> Verdict:
    """Hold everything that was seen on the way against what the databases say now."""
    verdict, now = Verdict(), committed(path / "coordinator")
    for earlier in seen:
        if now.rounds[: len(earlier.rounds)] != earlier.rounds:
            verdict.lost.append(f"rounds up to {earlier.last} were committed and are not the same now")
    if [entry[0] for entry in now.rounds] != list(range(len(now.rounds))):
        verdict.lost.append("committed rounds have a gap")
    attempts = [entry[1] for entry in now.rounds[1:]]
    if len(set(attempts)) != len(attempts):
        verdict.doubled.append("one attempt stands behind two rounds")
    nodes = {party: open_node(path / party) for party in NODES}
    with open_store(ServerFolder(path / "coordinator")) as store:
        _charges(store, nodes, verdict)
        _arithmetic(store, nodes, verdict)
    for node in nodes.values():
        node.store.close()
    return verdict


def _charges(store: ServerStore, nodes: dict[str, Node], verdict: Verdict) -> None:
    """Every answer that was made, and every one that was summed, has its reservation in that node's ledger."""
    digest = store.task(TASK).digest
    trained = [row for row in store.party_rounds(digest) if row.kind == "train" and row.outcome == "answered"]
    for party, node in nodes.items():
        reserved = budget.charged_attempts(node.store, digest, Step.TRAIN_ON_PEOPLE)
        made = {activity.attempt for activity in node.store.activities(digest) if activity.kind == "train"}
        summed = {row.attempt for row in trained if row.party == party and row.snapshot.strip("0")}
        verdict.charged += len(reserved)
        for attempt in sorted((made | summed) - reserved):
            verdict.uncharged.append(f"{party} trained in attempt {attempt} without a reservation")


def _arithmetic(store: ServerStore, nodes: dict[str, Node], verdict: Verdict) -> None:
    """Where the nodes still keep their answers: the model moved by exactly their sum, once."""
    task = store.task(TASK)
    manifest, rows = task.manifest(), store.rounds(task.digest)
    for before, after in itertools.pairwise(rows):
        answers = [_answer(nodes[party], task.digest, after) for party in after.parties]
        if any(answer is None for answer in answers):
            continue
        moved = _weights(store, after) - _weights(store, before)
        total = np.sum([answer for answer in answers if answer is not None], axis=0, dtype=np.float64)
        expected = total * manifest.training.server_learning_rate / manifest.divisor()
        verdict.recomputed += 1
        if not np.allclose(moved, expected, atol=TOLERANCE):
            verdict.doubled.append(f"round {after.round} moved by something else than the sum of its answers")


def _answer(node: Node, task: TaskDigest, row: RoundRow) -> Vector | None:
    try:
        blob = node.store.stored_answer(task, row.attempt or 0, "train")
    except Refused:  # nodes keep the bytes of the last attempts only
        return None
    if blob is None:
        return None
    _, payload = wire.read_answer(blob, node.identity.public_key, 1 << 24)
    return codecs.find("raw32").decode(payload, len(payload) // 4, 0)


def _weights(store: ServerStore, row: RoundRow) -> Vector:
    weights = from_bytes(row.round, store.model(row.model)).weights
    return flatten(weights, sorted(weights))
