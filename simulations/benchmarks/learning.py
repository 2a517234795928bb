"""How well the demo's four tasks learn: federated against central, private against not, on people never seen.

Run: ``python -m simulations.benchmarks.learning`` (some minutes on one thread; ``… docs/benchmarks watch-private``
measures that part again). It reads the demo's own task files, deals people to four parties, trains with the functions
that nodes use, and writes ``docs/benchmarks/learning.json`` and ``.md``.
"""

import json
import statistics
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from clients.algorithm_provider import initial_weights, public_rows
from federation import phases, workloads
from federation.codecs import lane
from federation.schema import Rows
from federation.terms import TrainingTerms
from privacy.accounting import noise_for
from privacy.levels import ample_levels
from simulations.benchmarks.arithmetic import Privacy, Task, central, federated, last, score, without_noise
from simulations.benchmarks.learning_report import write
from simulations.benchmarks.shares import Shares
from simulations.datasets import exercise_rows, pace_rows, ten_mile_runners, watch_recordings

NOISE_SEEDS, WATCH_NOISE_SEEDS = 5, 6
NODE_CLIP, NODE_STEPS = 0.25, 10
"""What suited ``watch-private`` while each node added all of the noise."""
FOLDS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10))
"""People whose rows only judge; the last pair is the demo's and was not looked at while anything was chosen."""

STATES = (("VA",), ("MD",), ("DC",), ("PA", "NY"))
"""Home states of the four parties' runners; all others judge, as in the demo."""


def read(name: str) -> Task:
    """The demo's task called `name`."""
    words = tomllib.loads((files("simulations") / "tasks" / f"{name}.toml").read_text())
    terms = words["privacy"]
    training = TrainingTerms.model_validate(words["training"])
    workload = workloads.find(words["workload"])
    size = phases.size(workload, workload.phases[0], training.trains)
    privacy = None if terms["unit"] == "none" else _privacy(words, size)
    first, public = initial_weights(workload, training), public_rows(workload, training)
    return Task(name, workload, words["rounds"], training, privacy, first, public)


def _privacy(words: dict[str, Any], size: int) -> Privacy:
    """The [privacy] table of a task file, its noise computed; σ of shared noise is that of the sum of all."""
    terms, coordinates = words["privacy"], lane.coordinates(size)
    shared = terms.get("noise") == "shared"
    levels = ample_levels(coordinates) if shared else 0
    noise = noise_for(terms["epsilon"], terms["sampling_rate"], terms["max_attempts"], terms["delta"], levels)
    if shared:
        shares = Shares(len(words["cohort"]), words["exchange"]["min_parties"], terms["colluding"])
        noise = shares.multiplier(noise, coordinates)
    kept = {key: terms[key] for key in ("sampling_rate", "clip", "rows_per_person", "epsilon", "delta")}
    return Privacy(noise_multiplier=noise, shared=shared, **kept)


def at_the_nodes(task: Task) -> Task:
    """`task` with all of the noise at each node, and with the clip and the local steps that were best for that."""
    assert task.privacy is not None  # noqa: S101 - narrows the type
    words = tomllib.loads((files("simulations") / "tasks" / f"{task.name}.toml").read_text())["privacy"]
    noise = noise_for(words["epsilon"], words["sampling_rate"], words["max_attempts"], words["delta"])
    privacy = replace(task.privacy, noise_multiplier=noise, clip=NODE_CLIP, shared=False)
    return replace(task, privacy=privacy, training=task.training.model_copy(update={"local_steps": NODE_STEPS}))


def watch() -> list[dict[str, object]]:
    """Task ``watch`` on five pairs of people never seen."""
    rows, task = exercise_rows(watch_recordings()), read("watch")
    return [_fold(task, rows, fold) for fold in FOLDS]


def watch_private() -> list[dict[str, object]]:
    """Task ``watch-private`` on the same pairs."""
    rows, task = exercise_rows(watch_recordings()), read("watch-private")
    return [_private_fold(task, rows, fold) for fold in FOLDS]


def dealt(rows: Rows, fold: tuple[int, ...]) -> list[Rows]:
    """The eight other people to four parties, as in the demo: 3, 2, 2, 1."""
    others = [person for person in range(1, 11) if person not in fold]
    hands = (others[0:3], others[3:5], others[5:7], others[7:])
    return [rows.of(torch.tensor(hand)) for hand in hands]


def _fold(task: Task, rows: Rows, fold: tuple[int, ...]) -> dict[str, object]:
    parties, judges = dealt(rows, fold), rows.of(torch.tensor(fold))
    start = time.perf_counter()
    together = [score(task, model, judges) for model in federated(task, parties, fold[0])]
    seconds = time.perf_counter() - start
    alone = score(task, central(task, parties, fold[0]), judges)
    return _said(
        {"held_out": fold, "federated": together[-1], "central": alone, "per_round": together, "seconds": seconds}
    )


def _private_fold(task: Task, rows: Rows, fold: tuple[int, ...]) -> dict[str, object]:
    parties, judges = dealt(rows, fold), rows.of(torch.tensor(fold))
    fewer, left = _after_a_withdrawal(task, parties)
    found = [score(task, last(federated(task, parties, seed)), judges) for seed in range(WATCH_NOISE_SEEDS)]
    seven = [score(task, last(federated(fewer, left, seed)), judges) for seed in range(WATCH_NOISE_SEEDS)]
    nodes = at_the_nodes(task)
    own = [score(task, last(federated(nodes, parties, seed)), judges) for seed in range(WATCH_NOISE_SEEDS)]
    start = score(task, task.first, judges)
    quiet = score(task, last(federated(without_noise(task), parties, 0)), judges)
    return _said(
        {
            "held_out": fold,
            "private": found,
            "private_one_withdrew": seven,
            "private_noise_at_nodes": own,
            "synthetic_only": start,
            "clipped_without_noise": quiet,
        }
    )


def _after_a_withdrawal(task: Task, parties: Sequence[Rows]) -> tuple[Task, list[Rows]]:
    """The demo's case: the last person of the first party has withdrawn, and the public divisor still counts them."""
    people = len({int(person) for rows in parties for person in rows.person})
    weight = task.training.public_weight
    first = parties[0]
    stay = first.take(torch.nonzero(first.person != first.person.max()).ravel())
    smaller = task.training.server_learning_rate * (people - 1 + weight) / (people + weight)
    training = task.training.model_copy(update={"server_learning_rate": smaller})
    return replace(task, training=training), [stay, *parties[1:]]


def runners() -> dict[str, object]:
    """Tasks ``runners`` and ``runners-private``; runners of all other states judge."""
    finishers = ten_mile_runners()
    parties = [pace_rows([runner for runner in finishers if runner.state in states]) for states in STATES]
    named = {state for states in STATES for state in states}
    judges = pace_rows([runner for runner in finishers if runner.state not in named])
    plain, private = read("runners"), read("runners-private")
    figures: dict[str, object] = {
        "held_out_people": len(judges),
        "people": [len(rows) for rows in parties],
        "first_weights": score(plain, plain.first, judges),
        "federated": score(plain, last(federated(plain, parties, 1)), judges),
        "central": score(plain, central(plain, parties, 1), judges),
        "private": [score(private, last(federated(private, parties, seed)), judges) for seed in range(NOISE_SEEDS)],
        "private_without_noise": score(private, last(federated(without_noise(private), parties, 0)), judges),
    }
    return _said(figures)


def _said(figures: dict[str, object]) -> dict[str, object]:
    """`figures`, after printing them: the benchmark takes minutes."""
    shown = {key: _short(value) for key, value in figures.items()}
    print("  ".join(f"{key} {value}" for key, value in shown.items()), flush=True)
    return figures


def _short(value: object) -> object:
    if isinstance(value, list) and value and isinstance(value[0], float):
        return f"{statistics.mean(value):.3f} (last {value[-1]:.3f} of {len(value)})"
    return f"{value:.3f}" if isinstance(value, float) else value


PARTS: dict[str, Callable[[], object]] = {"watch": watch, "watch-private": watch_private, "runners": runners}
TASKS = {"watch": ("watch",), "watch-private": ("watch-private",), "runners": ("runners", "runners-private")}
"""Which task files a part measures."""


def main() -> None:
    """Measure all parts, or those named after the folder while the others stay as they are; write both files."""
    torch.set_num_threads(1)
    folder, *named = sys.argv[1:] or ["docs/benchmarks"]
    kept = json.loads((Path(folder) / "learning.json").read_text()) if named else {}
    figures = {name: PARTS[name]() for name in named or PARTS}
    terms = kept.get("terms", {}) | {task: terms_of(task) for name in figures for task in TASKS[name]}
    write(Path(folder), kept | figures | {"terms": terms}, named)


def terms_of(name: str) -> dict[str, object]:
    """What a task file asks of privacy; of the one whose noise is shared, also what it would ask at the nodes."""
    task = read(name)
    if not task.privacy:
        return {"privacy": None}
    found: dict[str, object] = {"privacy": vars(task.privacy)}
    return found | ({"at_the_nodes": vars(at_the_nodes(task).privacy)} if task.privacy.shared else {})


if __name__ == "__main__":
    main()
