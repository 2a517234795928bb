"""What happens before anything is trained: the same commands, in the same order, that real partners type."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from federation.roles import Role
from simulations.demo import consents
from simulations.demo.cast import CAST, PEOPLE, Party
from simulations.demo.files import Delivery, deliver
from simulations.demo.scene import Scene, side_by_side
from simulations.ports import free_ports, wait_for_port

START_S = 60.0
PURPOSE = "train-motion-models"
UNPROTECTED = ("watch", "runners")
"""Tasks without differential privacy; every party has to allow each by name."""
TASKS = ("watch", "watch-private", "runners", "runners-private")

USE = ("--workload", "exercise_recognition", "--workload", "running_pace", "--purpose", PURPOSE)
CAPS = ("--max-epsilon", "10", "--max-epsilon-per-task", "8.1", "--delta", "1e-3", "--min-people", "1")
"""Caps per person, and the smallest number of people: the trainer has one watch person to train on."""
TOO_EARLY: dict[str, tuple[tuple[str, ...], str]] = {
    "motion-lab": ((), "watch"),
    "wrist-archive": (USE, "watch"),
    "city-runners": ((*USE, "--max-epsilon", "1"), "watch-private"),
    "coach-collective": ((*USE, *CAPS), "watch-private"),
}
"""What these parties had allowed when they first tried to accept which task: nothing, no waiver, too small a cap,
no noise but their own."""


@dataclass(frozen=True)
class Opened:
    """What the opening acts leave behind for the report."""

    deliveries: tuple[Delivery, ...]
    imports: tuple[dict[str, Any], ...]
    joined: dict[str, dict[str, Any]]
    consents: tuple[consents.Recorded, ...]
    tasks: dict[str, dict[str, Any]]


def open_federation(scene: Scene) -> Opened:
    """From nothing to five parties that have accepted four contracts and wait for the first question."""
    with scene.act("The coordinator makes its authority and opens its port"):
        start_coordinator(scene)
    with scene.act("Five parties join with one-time tokens"):
        joined = dict(zip((party.party for party in CAST), side_by_side(lambda p: join(scene, p), CAST), strict=True))
    with scene.act("Each party imports its recordings"):
        deliveries = tuple(deliver(scene.out / "files"))
        imports = tuple(side_by_side(lambda delivery: import_file(scene, delivery), deliveries))
    with scene.act("Each person's consent is recorded"):
        said = side_by_side(lambda party: consents.record(scene, party, deliveries), PEOPLE)
    with scene.act("Four contracts are written, signed, read and accepted"):
        tasks = dict(zip(TASKS, side_by_side(lambda name: contract(scene, name), TASKS), strict=True))
        told = {party: str(one["fingerprint"]) for party, one in joined.items()}
        side_by_side(lambda party: decide(scene, party, told), CAST)
    with scene.act("The nodes start"):
        for party in CAST:
            scene.shell.start(party.party, "node", "up", "--dir", scene.node(party.party))
    return Opened(deliveries, imports, joined, tuple(item for each in said for item in each), tasks)


def start_coordinator(scene: Scene) -> None:
    """`server init` with free ports, then `server up`."""
    port, private_port = free_ports(2)
    scene.shell.run(
        "server",
        "init",
        "--name",
        "Demo Federation",
        "--dir",
        scene.coordinator,
        "--port",
        str(port),
        "--private-port",
        str(private_port),
    )
    scene.shell.start("coordinator", "server", "up", "--dir", scene.coordinator)
    wait_for_port(port, START_S, scene.shell.require_running)


def join(scene: Scene, party: Party) -> dict[str, Any]:
    """The coordinator invites, the party joins with the line that it was sent."""
    invited = scene.shell.json(
        "server", "invite", "--role", party.role, "--name", party.name, "--dir", scene.coordinator
    )
    return dict(scene.shell.json("node", "join", invited["token"], "--dir", scene.node(party.party)))


def import_file(scene: Scene, delivery: Delivery) -> dict[str, Any]:
    """One file into the node of its party."""
    held_out = ("--held-out",) if delivery.held_out else ()
    return dict(
        scene.shell.json(
            "node",
            "import",
            delivery.file,
            "--workload",
            delivery.workload,
            "--mapping",
            delivery.mapping,
            *held_out,
            "--dir",
            scene.node(delivery.party.party),
        )
    )


def contract(scene: Scene, name: str) -> dict[str, Any]:
    """Written and signed by the coordinator, then signed by the algorithm provider from its own node."""
    source = Path(str(files("simulations") / "tasks" / f"{name}.toml"))
    written = scene.shell.json("task", "new", source, "--dir", scene.coordinator)
    scene.shell.run("task", "sign", name, "--dir", scene.coordinator)
    author = next(party for party in CAST if party.role is Role.ALGORITHM_PROVIDER)
    scene.shell.run("task", "sign", name, "--dir", scene.node(author.party))
    return dict(written)


def decide(scene: Scene, party: Party, told: Mapping[str, str]) -> None:
    """Some owners ask too early, and are refused by their own policy; then all allow what they mean to, and accept.

    `told`: the fingerprint that each party reads out when another one calls.
    """
    node = scene.node(party.party)
    if party.party in TOO_EARLY:
        allowed, task = TOO_EARLY[party.party]
        if allowed:
            scene.shell.run("node", "allow", *allowed, "--dir", node)
        refused = scene.shell.run("node", "accept", task, "--dir", node, expect=1)
        words = refused.errors.strip().removeprefix("error: ")
        scene.refusals.append({"party": party.party, "asked": f"node accept {task}", "said": words})
    scene.shell.run("node", "allow", *USE, *CAPS, *_exceptions(party, told), "--dir", node)
    for task in TASKS:
        scene.shell.run("node", "accept", task, "--dir", node)


def _exceptions(party: Party, told: Mapping[str, str]) -> Iterator[str]:
    """What is off by default: tasks without privacy, noise of the others, exact scores from the trainer."""
    for task in UNPROTECTED:
        yield from ("--unprotected", task)
    for other, fingerprint in told.items():
        if other != party.party:
            yield from ("--share-noise-with", f"{other}={fingerprint}")
    if party.role is Role.TRAINER:
        yield "--published-scores"
