"""A federation of simulated people: real stores, keys, policies and contracts, without a network to join over."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clients import consent
from clients.data.rows import RowSource
from clients.node import Node
from clients.pinned import Pinned, load_pinned, save_pinned
from clients.policy import Policy
from clients.settings import NodeFolder
from clients.statements import ConsentStatement
from clients.store import NodeStore, open_store, registry
from clients.store.moments import to_micros
from federation import drafts
from federation.consent import ConsentState, Purpose
from federation.errors import ManifestError
from federation.ids import PartyId, PersonNumber
from federation.manifest import Manifest, parse
from federation.roles import Role
from federation.signing import Identity
from server import enrolment, tasks
from server.cohort import GRACE_S
from server.coordinator import Coordinator
from server.settings import ServerFolder
from server.store import Invited, memory_store
from simulations.dealing import Dealt
from simulations.loopback import Loopback
from simulations.parties import Federation, settle
from simulations.population import HandRows, People
from simulations.scenario import Scenario
from simulations.seeded import SeededSource

PROVIDER = PartyId("algorithm-provider")
PORTION = 20_000
"""People who are registered in one transaction."""

VALID_DAYS = 3660.0
COMMON_FIELDS = frozenset({"name", "title", "workload", "rounds", "privacy"})


@dataclass
class SimulatedTime:
    """A clock that stands still while anybody works and jumps when somebody waits."""

    moment: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        """The moment at which the simulation began, and all that was slept through."""
        return self.moment

    def sleep(self, seconds: float) -> None:
        """Takes no time at all."""
        self.moment += timedelta(seconds=seconds)

    def sleep_through(self, seconds: float) -> None:
        """Sleep as long as anybody waits for a missing party: nothing comes meanwhile, so looking again is in vain."""
        self.sleep(max(seconds, GRACE_S))


def found(path: Path, scenario: Scenario, dealt: Dealt, people: People, seed: int) -> tuple[Federation, str]:
    """A coordinator and its parties in folder `path`, who have agreed on the scenario's task; its name."""
    time = SimulatedTime()
    coordinator = _coordinator(path, seed, time)
    roles = scenario.parties.roles
    nodes = {}
    for place, (name, hand) in enumerate(dealt.hands.items()):
        party = PartyId(name)
        _enrol(path / name, coordinator, party, roles[place % len(roles)], place)
        nodes[party] = open_party(path / name, HandRows(people, hand), scenario, time)
        _register(nodes[party].store, len(hand))
    _enrol(path / PROVIDER, coordinator, PROVIDER, Role.ALGORITHM_PROVIDER, len(nodes))
    nodes[PROVIDER] = open_party(path / PROVIDER, HandRows(people, dealt.judges[:0]), scenario, time)
    federation = Federation(coordinator, nodes, Loopback(nodes))
    task = coordinator.store.add_task(contract(coordinator, scenario, dealt))
    return federation, settle(federation, task)


def contract(coordinator: Coordinator, scenario: Scenario, dealt: Dealt) -> Manifest:
    """The scenario as a contract between its parties."""
    words: dict[str, Any] = scenario.model_dump(include=set(COMMON_FIELDS))
    words |= {
        "purpose": Purpose.TRAIN_MOTION_MODELS,
        "training": scenario.training.model_dump(mode="json"),
        "exchange": scenario.exchange.model_dump(),
        "valid_days": VALID_DAYS,
    }
    cohort = tuple(
        enrolment.as_member(party, len(dealt.hands.get(party.id, ()))) for party in coordinator.store.parties()
    )
    try:
        return tasks.contract(words, cohort, coordinator.folder, coordinator.clock()).manifest
    except ValidationError as error:
        raise ManifestError(f"scenario {scenario.name}: {drafts.problems(error)}") from error


def policy_of(scenario: Scenario, store: NodeStore) -> Policy:
    """A policy that allows the scenario's task and nothing else.

    Simulated owners waive what they are asked to, and know the fingerprints of all in the task that they accepted.
    """
    accepted = [parse(task.manifest_json) for task in store.accepted_tasks()]
    delta = scenario.privacy.get("delta", 1e-5)
    return Policy(
        purposes=(Purpose.TRAIN_MOTION_MODELS,),
        workloads=(scenario.workload,),
        max_epsilon=100.0,
        max_epsilon_per_task=100.0,
        delta=delta,
        min_parties=1,
        min_people=1,
        allow_unprotected=(scenario.name,),
        share_noise_with={member.party: member.fingerprint for task in accepted for member in task.cohort},
        max_task_days=VALID_DAYS,
    )


def open_party(path: Path, rows: RowSource, scenario: Scenario, time: SimulatedTime) -> Node:
    """The node in a folder that `found` made, in this process or another; its randomness is the link's to give.

    Its policy is made at the first question, when the task was accepted.
    """
    folder = NodeFolder(path)
    store = open_store(folder, time.now)
    return Node(
        folder=folder,
        pinned=load_pinned(folder),
        identity=Identity.load(folder.identity),
        store=store,
        rows=rows,
        policy=cache(lambda: policy_of(scenario, store)),
        clock=time.now,
        sleep=time.sleep,
        source=SeededSource(0),
    )


def _coordinator(path: Path, seed: int, time: SimulatedTime) -> Coordinator:
    folder = ServerFolder(path / "coordinator")
    folder.path.mkdir(parents=True)
    identity = Identity.create()
    identity.save(folder.identity_key)
    source = SeededSource.of(seed, "coordinator")
    return Coordinator(folder, identity, memory_store(time.now), time.now, time.sleep_through, source)


def _enrol(path: Path, coordinator: Coordinator, party: PartyId, role: Role, number: int) -> None:
    """A node's folder and a member of the federation, as joining leaves them."""
    folder, store, at = NodeFolder(path), coordinator.store, coordinator.clock()
    folder.coordinator.mkdir(parents=True)
    identity, secret_hash = Identity.create(), enrolment.secret_hash(secrets.token_hex(32))
    identity.save(folder.identity)
    store.invite(Invited(party, party, role, secret_hash, at, at + timedelta(hours=1)))
    store.join(secret_hash, identity.public_key.hex(), f"simulated {number}", number + 1)
    save_pinned(
        folder,
        Pinned(
            address="https://127.0.0.1:1",
            coordinator_name="simulation",
            coordinator_key_hex=coordinator.identity.public_key.hex(),
            ca_sha256="0" * 64,
            party=party,
            name=party,
            role=role,
            joined_at=at,
        ),
    )


def _register(store: NodeStore, count: int) -> None:
    """People 0 … count-1, each with a consent to training; nothing identifies them, so nothing is pseudonymised."""
    for start in range(0, count, PORTION):
        numbers = range(start, min(start + PORTION, count))
        with store.transaction() as tx:
            registry.add_people(tx, numbers, to_micros(store.clock()))
        consent.record_all(store, [_consent(PersonNumber(number), store.clock()) for number in numbers])


def _consent(person: PersonNumber, at: datetime) -> ConsentStatement:
    return ConsentStatement(
        person=person,
        purpose=Purpose.TRAIN_MOTION_MODELS,
        state=ConsentState.GIVEN,
        at=at,
        adult=True,
        notice_version="simulation",
    )
