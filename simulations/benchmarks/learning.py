"""How well the demo's four tasks learn: federated against central, private against not, on people never seen.

Run: ``python -m simulations.benchmarks.learning`` (a few minutes on one thread). It reads the demo's own task
files, deals people to four parties, trains with the functions that nodes use, and writes
``docs/benchmarks/learning.json`` and ``.md``.
"""

import statistics
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import torch

from clients.algorithm_provider import initial_weights, public_rows
from federation import workloads
from federation.schema import Rows
from federation.terms import TrainingTerms
from privacy.accounting import noise_for
from simulations.benchmarks.arithmetic import Privacy, Task, central, federated, last, score, without_noise
from simulations.benchmarks.learning_report import write
from simulations.datasets import exercise_rows, pace_rows, ten_mile_runners, watch_recordings

NOISE_SEEDS, WATCH_NOISE_SEEDS = 5, 8
FOLDS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10))
"""People whose rows only judge; the last pair is the demo's and was not looked at while anything was chosen."""

STATES = (("VA",), ("MD",), ("DC",), ("PA", "NY"))
"""Home states of the four parties' runners; all others judge, as in the demo."""


def read(name: str) -> Task:
    """The demo's task called `name`."""
    words = tomllib.loads((files("simulations") / "tasks" / f"{name}.toml").read_text())
    terms = words["privacy"]
    privacy = None
    if terms["unit"] == "person":
        noise = noise_for(terms["epsilon"], terms["sampling_rate"], terms["max_attempts"], terms["delta"])
        kept = {key: terms[key] for key in ("sampling_rate", "clip", "rows_per_person", "epsilon", "delta")}
        privacy = Privacy(noise_multiplier=noise, **kept)
    training = TrainingTerms.model_validate(words["training"])
    workload = workloads.find(words["workload"])
    first, public = initial_weights(workload, training), public_rows(workload, training)
    return Task(name, workload, words["rounds"], training, privacy, first, public)


def watch() -> dict[str, object]:
    """Tasks ``watch`` and ``watch-private`` on five pairs of people never seen."""
    rows = exercise_rows(watch_recordings())
    plain, private = read("watch"), read("watch-private")
    return {
        "watch": [_fold(plain, rows, fold) for fold in FOLDS],
        "watch-private": [_private_fold(private, rows, fold) for fold in FOLDS],
    }


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
    start = score(task, task.first, judges)
    quiet = score(task, last(federated(without_noise(task), parties, 0)), judges)
    return _said(
        {
            "held_out": fold,
            "private": found,
            "private_one_withdrew": seven,
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


def main() -> None:
    """Measure everything and write the documents."""
    torch.set_num_threads(1)
    tasks = {name: read(name) for name in ("watch", "watch-private", "runners", "runners-private")}
    terms = {name: {"privacy": vars(task.privacy) if task.privacy else None} for name, task in tasks.items()}
    figures = {"terms": terms, **watch(), "runners": runners()}
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/benchmarks"), figures)


if __name__ == "__main__":
    main()
