"""Opens every folder of the demo once, by the commands of its owner, and puts together what the report says."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from typing import Any

from federation.manifest import Manifest
from simulations.demo import explain, tables
from simulations.demo.acts import TASKS, Opened
from simulations.demo.cast import CAST, PEOPLE, WITHDRAWS, WITHDRAWS_AT
from simulations.demo.scene import Scene, side_by_side
from simulations.demo.start import start_score
from simulations.demo.training import Trained, headline

Json = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """All that the report is made from: what the coordinator knows, and what each party alone knows."""

    scene: Scene
    opened: Opened
    trained: Trained
    members: list[Json]
    budgets: dict[str, Json]
    audits: dict[str, Json]
    counts: dict[str, list[Json]]
    withdrawn: Json
    other: dict[str, Json]


def collect(scene: Scene, opened: Opened, trained: Trained) -> Found:
    """Ask the coordinator, then each party at its own folder."""
    budgets = _ask_each(scene, "budget", "show")
    others = [item for item in opened.consents if item.other]
    return Found(
        scene=scene,
        opened=opened,
        trained=trained,
        members=list(scene.shell.json("server", "parties", "--dir", scene.coordinator)),
        budgets=budgets,
        audits=_ask_each(scene, "audit", "verify"),
        counts=_ask_each(scene, "consent", "show"),
        withdrawn=scene.shell.json("consent", "show", WITHDRAWS, "--dir", scene.node(WITHDRAWS_AT)),
        other={
            item.party: scene.shell.json("consent", "show", item.other[0], "--dir", scene.out / item.party)
            for item in others
        },
    )


def _ask_each(scene: Scene, *words: str) -> dict[str, Any]:
    answers = side_by_side(lambda party: scene.shell.json(*words, "--dir", scene.node(party.party)), PEOPLE)
    return dict(zip((party.party for party in PEOPLE), answers, strict=True))


def facts(found: Found, began: datetime, seconds: Mapping[str, float]) -> Json:
    """Everything that the page shows and report.json holds."""
    summaries = [_task(found, name) for name in TASKS]
    return {
        "version": metadata.version("paceline"),
        "started_at": began.strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "seconds": dict(seconds),
        "parties": [{"party": party.party, "name": party.name, "role": party.role.value} for party in CAST],
        "tasks": summaries,
        "explanation": _explanation(found),
        "budgets": tables.budgets(found.budgets),
        "withdrawal": _withdrawal(found),
        "tables": tables.all_of(found, summaries, seconds),
        "folder": found.scene.out.name,
        "commands": _commands(found.scene.out.name),
    }


def _task(found: Found, name: str) -> Json:
    status, card = found.trained.status[name], found.trained.cards[name]
    return {
        "name": name,
        "title": card["title"],
        "workload": card["workload"]["name"],
        "purpose": card["purpose"],
        "state": status["state"],
        "epsilon": status["epsilon_limit"],
        "epsilon_spent": status["epsilon"],
        "delta": status["delta"],
        "headline": card["scores"]["headline"],
        "higher_is_better": card["scores"]["higher_is_better"],
        "rounds": [_round(line) for line in status["history"]],
        "rounds_done": status["round"],
        "attempts": status["attempts"],
        "bytes_up": status["bytes_up"],
        "bytes_down": status["bytes_down"],
        "ratio": status["ratio"],
        "score_bytes": status["score_bytes"],
        "updates": _travelled(found.trained.contracts[name]["manifest"]["exchange"]),
        "final_score": headline(status),
        "privacy": card["privacy"]["sentence"],
        "digest": status["digest"],
        "release_verified": all(line["passed"] for line in found.trained.verified[name]),
    }


def _travelled(exchange: Json) -> str:
    """How updates travelled, as a person reads it."""
    bits = f", {exchange['up_bits']:g} bits" if exchange.get("up_bits") else ""
    return f"{exchange['up']}{bits}{', under masks' if exchange['secure'] else ''}"


def _round(line: Json) -> Json:
    values = [value for value in line["scores"].values() if value is not None]
    return {
        "round": line["round"],
        "score": sum(values) / len(values) if values else None,
        "bytes_up": line["bytes_up"],
        "bytes_down": line["bytes_down"],
        "seconds": line["seconds"],
        "parties": line["parties"],
        "shrink": line["shrink"],
        "committed_at": line["committed_at"],
    }


def _explanation(found: Found) -> list[str]:
    contracts = {name: Manifest.model_validate(found.trained.contracts[name]["manifest"]) for name in TASKS}
    scores = {name: headline(found.trained.status[name]) or 0.0 for name in TASKS}
    pairs = [
        explain.Pair(
            scores[plain],
            scores[private],
            start_score(contracts[private], [found.scene.node(party.party) for party in PEOPLE]),
            contracts[private],
            sum(member.people for member in contracts[private].cohort),
        )
        for plain, private in (("watch", "watch-private"), ("runners", "runners-private"))
    ]
    return explain.words(*pairs)


def _withdrawal(found: Found) -> Json:
    """The person's own record proves it: the last use lies before the withdrawal, and rounds went on without."""
    said, uses = found.trained.withdrawal, found.withdrawn["uses"]
    task, last = said["task"], max((use["round"] for use in uses), default=0)
    withdrawn = next(line for line in found.withdrawn["statements"] if line["state"] == "withdrawn")
    rounds = found.trained.status[task]["rounds"]
    late = [use for use in uses if use["at"] > withdrawn["at"]]
    return {
        **said,
        "last_round_used": last,
        "withdrawn_at": withdrawn["at"],
        "uses_after": len(late),
        "text": f"{said['person']} withdrew at {said['party']} while task {task} ran, after round "
        f"{said['committed_before']} was committed. The last round that used a row of theirs is round {last} of "
        f"{rounds}; the {rounds - last} rounds after it, and the three tasks that followed, ran without them. Their "
        f"own record, which the node keeps and signs for, lists every use: {len(late)} of {len(uses)} uses began after "
        "the withdrawal. The coordinator sees only that the commitment to the consent snapshot changed, not who or "
        "why.",
    }


def _commands(folder: str) -> list[str]:
    return [
        f"paceline task show watch-private --dir {folder}/coordinator",
        f"paceline release show runners-private --dir {folder}/coordinator",
        f"paceline release verify {folder}/releases/watch.zip",
        f"paceline node review watch --dir {folder}/motion-lab (while the coordinator is up)",
        f"paceline consent show {WITHDRAWS} --dir {folder}/{WITHDRAWS_AT}",
        f"paceline budget show --dir {folder}/city-runners",
        f"paceline audit verify --dir {folder}/wrist-archive",
    ]
