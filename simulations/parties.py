"""A whole federation in one folder and one process: real stores, keys, policies and contracts, no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import tomli_w
import torch
from pyroaring import BitMap

from clients import consent
from clients.data.blocks import Cut
from clients.data.rows import ImportedRows
from clients.data.shelf import keep, shelf
from clients.joining import join_request, pin
from clients.keys import make_keys
from clients.node import Node
from clients.people import person_numbers
from clients.pinned import save_pinned
from clients.policy import Policy
from clients.settings import NodeFolder, load
from clients.statements import ConsentStatement
from clients.store import Imported, open_store
from federation import workloads
from federation.acceptance import accept
from federation.consent import ConsentState, Purpose
from federation.enrolment import decode_token
from federation.ids import PartyId, PersonNumber
from federation.roles import Role, Step, may
from federation.schema import Rows
from federation.signing import (
    sign_digest,
)
from privacy.noise import RandomSource
from server import enrolment, tasks
from server.coordinator import Coordinator, open_coordinator
from server.settings import ServerSettings
from server.store import Task, TaskState
from simulations.loopback import Loopback


@dataclass(frozen=True)
class Cast:
    """One party of a simulated federation; `rows` and `held_out` number its people from 0."""

    party: PartyId
    role: Role
    rows: Rows | None = None
    held_out: Rows | None = None


@dataclass(frozen=True)
class Federation:
    """A coordinator and its nodes, joined by a loopback link."""

    coordinator: Coordinator
    nodes: Mapping[PartyId, Node]
    link: Loopback


class Registry:
    """Numbers for node keys, as Flower's link state gives them."""

    def __init__(self) -> None:
        self._keys: dict[bytes, int] = {}

    def register(self, name: str, public_key_openssh: bytes) -> int:
        """The node number of this key."""
        return self._keys.setdefault(public_key_openssh, len(self._keys) + 1)


def gather(path: Path, workload: str, cast: Sequence[Cast], policy: Policy, source: RandomSource) -> Federation:
    """Found a coordinator and let every party of `cast` join it, import its rows and record everybody's consent."""
    folder = enrolment.create(path / "coordinator", ServerSettings(name="Simulation"), datetime.now(UTC))
    coordinator, registry = open_coordinator(folder.path), Registry()
    nodes = {}
    for one in cast:
        node = _join(path / one.party, coordinator, registry, one, source)
        for rows, held_out in ((one.rows, False), (one.held_out, True)):
            if rows is not None:
                _import(node, workload, rows, held_out)
        nodes[one.party] = node
    told = {party: node.identity.fingerprint for party, node in nodes.items()}
    for node in nodes.values():  # owners who have called one another
        write_policy(node.folder, policy.model_copy(update={"share_noise_with": told}))
    return Federation(coordinator, nodes, Loopback(nodes))


def agree(federation: Federation, toml: Path) -> str:
    """Write, sign, accept and launch the task in `toml`; its name."""
    coordinator = federation.coordinator
    return settle(federation, tasks.new_task(coordinator.store, coordinator.folder, toml))


def settle(federation: Federation, task: Task) -> str:
    """Sign, accept and launch a drafted task; its name."""
    coordinator = federation.coordinator
    tasks.sign(coordinator.store, coordinator.identity, task.name)
    at = coordinator.clock()
    for party, node in federation.nodes.items():
        if may(node.pinned.role, Step.SIGN_WORKLOAD):
            signature = sign_digest(node.identity, task.digest, "algorithm-provider", party, at)
            coordinator.store.add_signature(task.digest, signature)
    signed = coordinator.store.signed_manifest(task.name)
    for member in task.manifest().cohort:
        node = federation.nodes[member.party]
        node.store.accept_task(signed.model_dump_json(), task.digest, at)
        coordinator.store.add_acceptance(accept(node.identity, member.party, task.digest, at))
    coordinator.store.set_task_state(task.digest, TaskState.RUNNING)
    return task.name


def numbers(node: Node, count: int, prefix: str = "person") -> list[int]:
    """The person numbers of people 0 … count-1."""
    names = [f"{prefix}-{index}" for index in range(count)]
    found = person_numbers(node.store, names)
    return [int(found[name]) for name in names]


def write_policy(folder: NodeFolder, policy: Policy) -> None:
    """node.toml with this policy, as an owner would edit it."""
    folder.settings.write_text(tomli_w.dumps({"threads": 1, "policy": policy.model_dump(mode="json")}), "utf-8")


def _join(path: Path, coordinator: Coordinator, registry: Registry, one: Cast, source: RandomSource) -> Node:
    """A node's folder as `paceline node join` leaves it, without the network in between."""
    folder = NodeFolder(path)
    folder.coordinator.mkdir(parents=True)
    identity = make_keys(folder)
    store, server = coordinator.store, coordinator.folder
    invitation = decode_token(enrolment.invite(store, server, one.party, one.role, one.party))
    pinned = pin(invitation, enrolment.join(store, server, registry, join_request(invitation, identity, folder)))
    save_pinned(folder, pinned)
    node_store = open_store(folder)
    return Node(
        folder=folder,
        pinned=pinned,
        identity=identity,
        store=node_store,
        rows=ImportedRows(folder, node_store),
        policy=lambda: load(folder).policy,
        clock=coordinator.clock,
        sleep=lambda _: None,
        source=source,
    )


def _import(node: Node, workload: str, rows: Rows, held_out: bool) -> None:
    """Rows on the node's shelf, with consent to train from all; to publish scores too from those who are held out."""
    schema = workloads.find(workload).schema
    with shelf(node.folder, workload, schema) as place:
        prefix = "held-out" if held_out else "person"
        people = torch.unique(rows.person).tolist()
        for person in people:
            own = rows.of(torch.tensor([person]))
            owners = np.array([f"{prefix}-{person}"] * len(own))
            place.put(Cut(owners, own.fields["x"].numpy(), own.fields["y"].numpy()))
        known = person_numbers(node.store, list(place.people))
        own_numbers = np.array([known[name] for name in place.people], np.int64)
        digest = place.close(own_numbers)
        file = keep(node.folder, place, digest)
        node.store.add_dataset(Imported(workload, file, place.rows, BitMap(own_numbers), digest, held_out))
    purposes = (Purpose.TRAIN_MOTION_MODELS, Purpose.PUBLISH_SCORES) if held_out else (Purpose.TRAIN_MOTION_MODELS,)
    for purpose in purposes:
        consent.record_all(node.store, [grant(node, PersonNumber(int(number)), purpose) for number in own_numbers])


def grant(node: Node, person: PersonNumber, purpose: Purpose) -> ConsentStatement:
    """An adult's consent to `purpose`, as of now."""
    return ConsentStatement(
        person=person,
        purpose=purpose,
        state=ConsentState.GIVEN,
        at=node.clock(),
        adult=True,
        notice_version="simulation",
        evidence="simulated",
    )
