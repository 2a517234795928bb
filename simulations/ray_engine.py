"""Engine ``ray``: a scenario's rounds over Flower's simulation engine, on this machine or on a Ray cluster.

The coordinator, its ServerApp and its link to the parties run here; the ClientApp runs in Ray's workers, which open a
party's folder for each question. So nothing of a party lives in one worker's memory, and any worker may answer for it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from clients.app import Answer
from clients.rounds import MAX_MODEL_BYTES
from federation import wire, workloads
from federation.ids import PartyId
from federation.link import Link, Reply
from server.app.link import FlowerLink
from server.app.task import server_app
from simulations import engine, sources
from simulations.dealing import Dealt, deal
from simulations.founding import PROVIDER, SimulatedTime, open_party
from simulations.outcome import Outcome
from simulations.population import HandRows, People
from simulations.scenario import Scenario, read_words
from simulations.virtual_nodes import MemoryInbox, VirtualNodes, virtual_nodes

PATIENCE_S = 7 * 86_400.0
"""Deadlines are missed by the scenario's faults only: what a slow machine misses could not be repeated."""


def play(stage: engine.Stage, path: Path, watch: engine.Watch) -> Outcome:
    """All rounds of a stage that was prepared in folder `path`."""
    parties = tuple(stage.federation.nodes)
    seats = Seats(str(path), stage.scenario.model_dump_json(exclude_unset=True), stage.seed, parties)
    outcomes: list[Outcome] = []
    with virtual_nodes(seats, len(parties), stage.scenario.ray) as nodes:
        app = server_app(
            stage.federation.coordinator.folder.path,
            connect=lambda _, __: PatientLink(_flower_link(nodes, parties)),
            play=lambda _, link, __: outcomes.append(engine.play(stage, link, watch)),
            coordinator=lambda _: stage.federation.coordinator,
        )
        nodes.run(app, stage.task)
    return outcomes[0]


def _flower_link(nodes: VirtualNodes, parties: tuple[PartyId, ...]) -> FlowerLink:
    """The deployed link; a virtual node's number stands for the party in that place."""
    active = {node: parties[place] for node, place in nodes.nodes.items()}
    return FlowerLink(nodes.grid, lambda: active, MemoryInbox(nodes))


@dataclass(frozen=True)
class PatientLink:
    """`inner` without a deadline of the real clock."""

    inner: Link

    def reachable(self) -> frozenset[PartyId]:
        """See `Link`."""
        return self.inner.reachable()

    def ask(self, requests: Mapping[PartyId, bytes], deadline_s: float) -> Iterator[Reply]:
        """See `Link`."""
        del deadline_s
        return self.inner.ask(requests, PATIENCE_S)


@dataclass(frozen=True)
class Seats:
    """What a worker needs in order to answer for a party; small, since Flower sends it along with every message."""

    path: str
    scenario_json: str
    seed: int
    parties: tuple[PartyId, ...]

    def __call__(self, number: int) -> Answer:
        """The answers of party `number`."""
        return lambda blob: _answer(self, self.parties[number], blob)


def _answer(seats: Seats, party: PartyId, blob: bytes) -> bytes:
    """One answer, from the party's folder; its clock shows the moment at which the question was asked."""
    scenario, people, dealt = _population(seats.scenario_json, seats.seed)
    hand = dealt.judges[:0] if party == PROVIDER else dealt.hands[party]
    folder, time = Path(seats.path) / party, SimulatedTime()
    node = open_party(folder, HandRows(people, hand), scenario, time)
    with node.store:
        question, _ = wire.read_request(blob, node.pinned.coordinator_key, MAX_MODEL_BYTES)
        time.moment = question.issued_at
        return engine.seated_answer(node, blob, seats.seed, scenario.rounds)


@lru_cache(maxsize=1)
def _population(scenario_json: str, seed: int) -> tuple[Scenario, People, Dealt]:
    """Everybody and their parties, found out once per worker."""
    scenario = read_words(json.loads(scenario_json))
    torch.set_num_threads(max(1, int(scenario.ray.num_cpus_per_party)))
    people = sources.people(scenario.data, workloads.find(scenario.workload), seed)
    return scenario, people, deal(scenario, people, seed)
