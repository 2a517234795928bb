"""How well the demo's four tasks learn: federated against central, private against not, on people never seen.

Run: ``python -m simulations.benchmarks.learning`` (a few minutes on one thread). It reads the demo's own task
files, deals people to four parties, trains with the functions that nodes use, and writes
``docs/benchmarks/learning.json`` and ``.md``.
"""

import statistics
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import torch

from clients.algorithm_provider import initial_weights, public_rows
from clients.training import party_update, person_updates
from federation import workloads
from federation.manifest import TrainingTerms
from federation.schema import Rows, concatenate
from federation.workload import Weights, Workload, flatten, trained_names, unflatten
from privacy.accounting import noise_for
from privacy.noise import add_noise
from privacy.person_level import bound, combine, empty
from simulations.benchmarks.learning_report import write
from simulations.datasets import exercise_rows, pace_rows, ten_mile_runners, watch_recordings
from simulations.seeded import SeededSource

NOISE_SEEDS, WATCH_NOISE_SEEDS = 5, 8
FOLDS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10))
"""People whose rows only judge; the last pair is the demo's and was not looked at while anything was chosen."""

STATES = (("VA",), ("MD",), ("DC",), ("PA", "NY"))
"""Home states of the four parties' runners; all others judge, as in the demo."""


@dataclass(frozen=True)
class Privacy:
    """The numbers of a task's [privacy] table that the arithmetic needs."""

    sampling_rate: float
    noise_multiplier: float
    clip: float
    rows_per_person: int
    epsilon: float
    delta: float


@dataclass(frozen=True)
class Task:
    """A task file of the demo."""

    name: str
    workload: Workload
    rounds: int
    training: TrainingTerms
    privacy: Privacy | None
    first: Weights
    public: Rows


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


def federated(task: Task, parties: Sequence[Rows], seed: int) -> Iterator[Weights]:
    """The model after each round; every party's noise comes from its own seeded stream."""
    model = task.first
    names = trained_names(model, task.workload.phases[0], task.training.trains)
    sources = [SeededSource(1000 * seed + number) for number in range(len(parties))]
    for number in range(task.rounds):
        draw = 1_000_003 * seed + 101 * number
        if task.privacy is None:
            step = _plain_round(task, model, names, [*parties, task.public], draw)
        else:
            step = _private_round(task, model, names, parties, (sources, draw))
        moved = flatten(model, names) + task.training.server_learning_rate * step.numpy()
        model = unflatten(moved, model, names)
        yield model


def _plain_round(task: Task, model: Weights, names: Sequence[str], owners: Sequence[Rows], draw: int) -> torch.Tensor:
    """The mean update, weighted by rows; the last owner is the algorithm provider with its public weight."""
    weights = [*(float(len(rows)) for rows in owners[:-1]), task.training.public_weight]
    total = torch.zeros(sum(model[name].numel() for name in names))
    for place, (rows, weight) in enumerate(zip(owners, weights, strict=True)):
        if weight:
            phase = task.workload.phases[0]
            total += weight * party_update(task.workload, phase, model, names, rows, task.training, draw + place)
    return total / sum(weights)


def _private_round(
    task: Task,
    model: Weights,
    names: Sequence[str],
    parties: Sequence[Rows],
    rest: tuple[Sequence[SeededSource], int],
) -> torch.Tensor:
    """The noised sum over the public divisor, as four nodes and a coordinator make it."""
    sources, draw = rest
    terms, phase, training = task.privacy, task.workload.phases[0], task.training
    assert terms is not None  # noqa: S101 - narrows the type
    total = torch.zeros(sum(model[name].numel() for name in names), dtype=torch.float64)
    people = 0
    for place, (rows, source) in enumerate(zip(parties, sources, strict=True)):
        parts, k = [empty(len(total), terms.clip)], terms.rows_per_person
        for who, updates in person_updates(task.workload, phase, model, names, rows, training, k, draw + place):
            parts.append(bound(updates, terms.clip))
            people += len(who)
        total += torch.from_numpy(add_noise(combine(parts), terms.noise_multiplier, source).vector.copy())
    if training.public_weight:
        update = party_update(task.workload, phase, model, names, task.public, training, draw + len(parties))
        total += update * min(1.0, training.public_weight * terms.clip / float(update.norm()))
    return total / (people + training.public_weight)


def central(task: Task, parties: Sequence[Rows], seed: int) -> Weights:
    """The same model, first weights and number of epochs, with all rows in one place."""
    model = task.first
    names = trained_names(model, task.workload.phases[0], task.training.trains)
    epochs = task.rounds * task.training.local_epochs
    terms = task.training.model_copy(update={"local_epochs": epochs})
    update = party_update(task.workload, task.workload.phases[0], model, names, concatenate([*parties]), terms, seed)
    return unflatten((torch.from_numpy(flatten(model, names)) + update).numpy(), model, names)


def score(task: Task, model: Weights, rows: Rows) -> float:
    """The workload's headline on `rows`."""
    return task.workload.summary(task.workload.scores(model, rows))[task.workload.headline]


def last(models: Iterator[Weights]) -> Weights:
    """The model after the last round."""
    *_, model = models
    return model


def watch() -> dict[str, object]:
    """Tasks ``watch`` and ``watch-private`` on five pairs of people never seen."""
    rows = exercise_rows(watch_recordings())
    plain, private = read("watch"), read("watch-private")
    return {
        "watch": [_fold(plain, rows, fold) for fold in FOLDS],
        "watch-private": [_private_fold(private, rows, fold) for fold in FOLDS],
    }


def _dealt(rows: Rows, fold: tuple[int, ...]) -> list[Rows]:
    """The eight other people to four parties, as in the demo: 3, 2, 2, 1."""
    others = [person for person in range(1, 11) if person not in fold]
    hands = (others[0:3], others[3:5], others[5:7], others[7:])
    return [rows.of(torch.tensor(hand)) for hand in hands]


def _fold(task: Task, rows: Rows, fold: tuple[int, ...]) -> dict[str, object]:
    parties, judges = _dealt(rows, fold), rows.of(torch.tensor(fold))
    start = time.perf_counter()
    together = [score(task, model, judges) for model in federated(task, parties, fold[0])]
    seconds = time.perf_counter() - start
    alone = score(task, central(task, parties, fold[0]), judges)
    return _said(
        {"held_out": fold, "federated": together[-1], "central": alone, "per_round": together, "seconds": seconds}
    )


def _private_fold(task: Task, rows: Rows, fold: tuple[int, ...]) -> dict[str, object]:
    parties, judges = _dealt(rows, fold), rows.of(torch.tensor(fold))
    fewer, left = _after_a_withdrawal(task, parties)
    found = [score(task, last(federated(task, parties, seed)), judges) for seed in range(WATCH_NOISE_SEEDS)]
    seven = [score(task, last(federated(fewer, left, seed)), judges) for seed in range(WATCH_NOISE_SEEDS)]
    start = score(task, task.first, judges)
    quiet = score(task, last(federated(_without_noise(task), parties, 0)), judges)
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


def _without_noise(task: Task) -> Task:
    """The same arithmetic with next to no noise: what clipping and few parameters alone cost."""
    assert task.privacy is not None  # noqa: S101 - narrows the type
    return replace(task, privacy=replace(task.privacy, noise_multiplier=1e-6))


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
        "private_without_noise": score(private, last(federated(_without_noise(private), parties, 0)), judges),
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
