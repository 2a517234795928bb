"""The acts in which models are trained: launch, watch, and one person who withdraws in between."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from federation.errors import RoundFailed
from server.settings import ServerFolder
from server.status import task_status
from server.store import ServerStore, open_store
from simulations.demo.acts import PURPOSE, TASKS
from simulations.demo.cast import WITHDRAWS, WITHDRAWS_AFTER, WITHDRAWS_AT, WITHDRAWS_DURING
from simulations.demo.scene import Scene

LOOK_EVERY_S = 0.5
TASK_DEADLINE_S = 600.0


@dataclass(frozen=True)
class Trained:
    """What the coordinator knows at the end: status, contract and card by task; and when the person withdrew."""

    status: dict[str, dict[str, Any]]
    contracts: dict[str, dict[str, Any]]
    cards: dict[str, dict[str, Any]]
    verified: dict[str, list[dict[str, Any]]]
    withdrawal: dict[str, Any]


def train(scene: Scene) -> Trained:
    """Run the tasks one after another: at the same time they would share two cores and take as long."""
    status: dict[str, dict[str, Any]] = {}
    withdrawal: dict[str, Any] = {}
    for name in TASKS:
        with scene.act(f"Task {name} runs"):
            status[name] = _run(scene, name, status, withdrawal)
    with scene.act("Releases are exported and verified offline"):
        cards = {name: scene.shell.json("release", "show", name, "--dir", scene.coordinator) for name in TASKS}
        verified = {name: _verified(scene, name) for name in TASKS}
    contracts = {name: scene.shell.json("task", "show", name, "--dir", scene.coordinator) for name in TASKS}
    return Trained(status, contracts, cards, verified, withdrawal)


def _run(scene: Scene, name: str, done: Mapping[str, Mapping[str, Any]], withdrawal: dict[str, Any]) -> dict[str, Any]:
    scene.shell.run("task", "launch", name, "--dir", scene.coordinator)
    with open_store(ServerFolder(scene.coordinator)) as store:
        for found in _looks(scene, store, name):
            scene.board.show(f"Task {name} runs", rows([*done.values(), found]))
            if found["state"] == "completed":
                return found
            if found["state"] != "running":
                raise RoundFailed(f"task {name} is {found['state']} in round {found['round']}: {found['message']}", {})
            if name == WITHDRAWS_DURING and not withdrawal and (found["round"] or 0) >= WITHDRAWS_AFTER:
                withdrawal |= _withdraw(scene, found["round"])
    raise RoundFailed(f"task {name} took longer than {TASK_DEADLINE_S:g} s; read the logs in {scene.out}.", {})


def _looks(scene: Scene, store: ServerStore, name: str) -> Iterator[dict[str, Any]]:
    """What `paceline task status` says, again and again; a new process for each look would cost a core."""
    end = time.monotonic() + TASK_DEADLINE_S
    while time.monotonic() < end:
        yield task_status(store, name)
        scene.shell.require_running()
        time.sleep(LOOK_EVERY_S)


def _withdraw(scene: Scene, committed: int) -> dict[str, Any]:
    """At this party's own desk; the coordinator is not told who, nor that anybody did."""
    node = scene.node(WITHDRAWS_AT)
    scene.shell.run("consent", "withdraw", WITHDRAWS, "--purpose", PURPOSE, "--dir", node)
    return {"party": WITHDRAWS_AT, "person": WITHDRAWS, "task": WITHDRAWS_DURING, "committed_before": committed}


def _verified(scene: Scene, name: str) -> list[dict[str, Any]]:
    target = scene.out / "releases" / f"{name}.zip"
    target.parent.mkdir(exist_ok=True)
    scene.shell.run("release", "export", name, "--out", target, "--dir", scene.coordinator)
    return list(scene.shell.json("release", "verify", target))


def rows(status: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the live table."""
    return [
        {
            "name": found["name"],
            "state": found["state"],
            "round": found["round"] or 0,
            "rounds": found["rounds"],
            "answered": len(found["history"][-1]["parties"]) if len(found["history"]) > 1 else 0,
            "parties": len(found["parties"]),
            "score": headline(found),
            "headline": found["score"]["name"] if found["score"] else "",
            "bytes": found["bytes_up"] + found["bytes_down"],
            "epsilon_spent": found["epsilon"],
        }
        for found in status
    ]


def headline(found: Mapping[str, Any]) -> float | None:
    """The newest score of people who were never trained on."""
    values = [value for value in (found["score"] or {"by_party": {}})["by_party"].values() if value is not None]
    return float(sum(values) / len(values)) if values else None
