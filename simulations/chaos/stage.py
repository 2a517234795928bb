"""The federation that is tormented: a coordinator and three nodes as real processes, on synthetic runners."""

import csv
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import tomli_w

from federation.roles import Role
from federation.workloads import find
from simulations.ports import free_ports, wait_for_port
from simulations.shell import Shell

WORKLOAD = "running_pace"
TASK = "torment"
PEOPLE = 12
NODES: Mapping[str, Role] = {
    "north-runners": Role.DATA_PROVIDER,
    "south-runners": Role.DATA_PROVIDER,
    "model-works": Role.ALGORITHM_PROVIDER,
}
KINDS = ("superlink", "serverapp", "executor", "supernode", "worker", "server supervisor", "node supervisor")
MARKS = {
    "superlink": "server.superlink",
    "serverapp": "server.app",
    "executor": "server.app",
    "supernode": "clients.supernode",
    "worker": "clients.worker",
}


@dataclass(frozen=True)
class Stage:
    """Folders and processes of the federation."""

    path: Path
    shell: Shell
    port: int

    @property
    def coordinator(self) -> Path:
        """The coordinator's folder."""
        return self.path / "coordinator"

    def node(self, party: str) -> Path:
        """The folder of a party's node."""
        return self.path / party

    def start_coordinator(self) -> None:
        """`paceline server up`, until its port answers."""
        self.shell.start("coordinator", "server", "up", "--dir", self.coordinator)
        wait_for_port(self.port, 60, lambda: None)

    def start_node(self, party: str) -> None:
        """`paceline node up`."""
        self.shell.start(party, "node", "up", "--dir", self.node(party))

    def restart_dead(self) -> None:
        """Start supervisors again that were killed, as a service manager would."""
        for name in self.shell.dead():
            if name == "coordinator":
                self.start_coordinator()
            else:
                self.start_node(name)


def found(path: Path, shell: Shell, rounds: int) -> Stage:
    """Everything up to the launch of a task of `rounds` rounds, typed as an operator and three partners would."""
    port, private_port = free_ports(2)
    stage = Stage(path, shell, port)
    words = ["--name", "Chaos", "--port", str(port), "--private-port", str(private_port)]
    shell.run("server", "init", "--dir", stage.coordinator, *words)
    stage.start_coordinator()
    for seed, (party, role) in enumerate(NODES.items()):
        _join(stage, party, role)
        if role is not Role.ALGORITHM_PROVIDER:
            _import(stage, party, seed)
        shell.run("node", "allow", "--dir", stage.node(party), *_allowed())
    task = path / "task.toml"
    task.write_text(tomli_w.dumps(_terms(rounds)), "utf-8")
    shell.run("task", "new", task, "--dir", stage.coordinator)
    shell.run("task", "sign", TASK, "--dir", stage.node("model-works"))
    shell.run("task", "sign", TASK, "--dir", stage.coordinator)
    for party in NODES:
        shell.run("node", "accept", TASK, "--dir", stage.node(party))
        stage.start_node(party)
    shell.run("task", "launch", TASK, "--dir", stage.coordinator)
    return stage


def victims(stage: Stage, kind: str) -> list[psutil.Process]:
    """The running processes of one kind that belong to this stage."""
    mine = [process for process in psutil.process_iter(["cmdline"]) if _is_ours(process, stage.path)]
    if kind.endswith("supervisor"):
        word = "server" if kind.startswith("server") else "node"
        return [p for p in mine if _follows(p.info["cmdline"], word, "up")]
    is_run = kind == "serverapp"
    return [
        p for p in mine if _follows(p.info["cmdline"], "-m", MARKS[kind]) and is_run == ("--run" in p.info["cmdline"])
    ]


def _is_ours(process: psutil.Process, path: Path) -> bool:
    words = process.info["cmdline"] or []
    return any(word.startswith(str(path)) for word in words)


def _follows(words: list[str], first: str, second: str) -> bool:
    return any(pair == (first, second) for pair in itertools.pairwise(words))


def _join(stage: Stage, party: str, role: Role) -> None:
    said = stage.shell.json(
        "server", "invite", "--dir", stage.coordinator, "--role", role.value, "--name", party, "--party", party
    )
    stage.shell.run("node", "join", said["token"], "--dir", stage.node(party))


def _import(stage: Stage, party: str, seed: int) -> None:
    rows, schema = find(WORKLOAD).invent(seed + 1, PEOPLE, 1), find(WORKLOAD).schema
    table, mapping = stage.path / f"{party}.csv", stage.path / f"{party}.toml"
    names = [column.name for column in schema.columns]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["runner", *names, schema.target.name])
        for person, x, y in zip(
            rows.person.tolist(), rows.fields["x"].tolist(), rows.fields["y"].tolist(), strict=True
        ):
            writer.writerow([f"{party}-{person}", *x, y])
    mapping.write_text(tomli_w.dumps({"person": "runner", "target": schema.target.name}), "utf-8")
    stage.shell.run("node", "import", table, "--mapping", mapping, "--workload", WORKLOAD, "--dir", stage.node(party))
    people = stage.path / f"{party}-people.txt"
    people.write_text("".join(f"{party}-{number}\n" for number in range(PEOPLE)), "utf-8")
    stage.shell.run(*_consent(stage.node(party), people))


def _consent(node: Path, people: Path) -> list[str | Path]:
    return [
        "consent",
        "grant",
        "--dir",
        node,
        "--purpose",
        "train-motion-models",
        "--from-file",
        people,
        "--adult",
        "--notice",
        "chaos-1",
    ]


def _allowed() -> list[str]:
    return ["--purpose", "train-motion-models", "--workload", WORKLOAD, "--max-epsilon", "100", "--delta", "1e-5"]


def _terms(rounds: int) -> dict[str, object]:
    return {
        "name": TASK,
        "title": "A task whose processes are killed",
        "workload": WORKLOAD,
        "purpose": "train-motion-models",
        "rounds": rounds,
        "round_deadline_s": 60.0,
        "privacy": {
            "unit": "person",
            "sampling_rate": 0.5,
            "noise_multiplier": 40.0,
            "clip": 0.5,
            "rows_per_person": 1,
            "max_attempts": 2 * rounds,
            "delta": 1e-5,
        },
        "training": {"learning_rate": 0.1, "public_weight": 1.0, "public_people": 4},
        "exchange": {"min_parties": 2},
        "cohort": [{"party": p, "people": 0 if r is Role.ALGORITHM_PROVIDER else PEOPLE} for p, r in NODES.items()],
    }
