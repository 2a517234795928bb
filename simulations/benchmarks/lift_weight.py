"""How well a deadlift can be told from the other lifts: central, federated, and a tree ensemble, on people never seen.

Run: ``python -m simulations.benchmarks.lift_weight`` with the lifters in $PACELINE_DATA (about a minute).
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from federation import workloads
from federation.errors import UsageError
from federation.schema import Rows, concatenate
from federation.terms import TrainingTerms
from federation.workload import merge
from simulations.benchmarks.arithmetic import Task, central, federated, last
from simulations.benchmarks.record import write
from simulations.lifters import Lifters, lifters

WORKLOAD = workloads.find("lift_weight")
ROUNDS, FOLDS, PARTIES, SEED = 10, 5, 5, 1
TERMS = TrainingTerms(learning_rate=0.1, batch_rows=64)
Sums = Mapping[str, float]
Split = Iterator[tuple[Rows, Rows]]


def main(arguments: list[str]) -> None:
    """Measure and write ``lift_weight.json`` and ``lift_weight.md``."""
    parser = argparse.ArgumentParser(prog="python -m simulations.benchmarks.lift_weight", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    out: Path = parser.parse_args(arguments).out
    torch.set_num_threads(1)
    try:
        rows = measured(lifters())
    except UsageError as error:
        sys.exit(str(error))
    command = "python -m simulations.benchmarks.lift_weight"
    write(out, "lift_weight", "A deadlift from the other lifts", command, rows)
    for line in rows:
        print(line)


def measured(found: Lifters) -> list[dict[str, Any]]:
    """One line per model and split; all folds of a split are judged together."""
    splits: dict[str, Callable[[], Split]] = {
        "by person, 5 folds": lambda: by_person(found),
        "by federation: each of the 5 largest in turn": lambda: by_federation(found),
        "by entry, 5 folds: a person stands on both sides": lambda: by_entry(found),
    }
    lines = [
        _line(name, split, merge([model(train, judges) for train, judges in folds()]))
        for split, folds in splits.items()
        for name, model in (("this workload, central", one_place), ("tree ensemble, central", trees))
    ]
    return [*lines, *_apart(found)]


def _apart(found: Lifters) -> list[dict[str, Any]]:
    """Five federations as parties, judged on the lifters of all others; beside it, the same rows in one place."""
    largest = names_by_size(found)[:PARTIES]
    parties = [found.of(frozenset({name})) for name in largest]
    judges = found.of(frozenset(found.home.values()) - frozenset(largest))
    split = "the 5 largest federations train, lifters of all others judge"
    first = WORKLOAD.initial(0)
    task = Task("lifters", WORKLOAD, ROUNDS, TERMS, None, first, judges.take(torch.zeros(0, dtype=torch.int64)))
    together = WORKLOAD.scores(last(federated(task, parties, SEED)), judges)
    everything = concatenate(parties)
    return [
        _line("this workload, federated, no DP", split, together),
        _line("this workload, central", split, one_place(everything, judges)),
        _line("tree ensemble, central", split, trees(everything, judges)),
    ]


def one_place(train: Rows, judges: Rows) -> Sums:
    """The workload's scores after as many epochs as the federated rounds have, all rows in one place."""
    task = Task("central", WORKLOAD, ROUNDS, TERMS, None, WORKLOAD.initial(0), judges)
    return WORKLOAD.scores(central(task, [train], SEED), judges)


def trees(train: Rows, judges: Rows) -> Sums:
    """The same sums for gradient-boosted trees on the six columns: a strong model that has no federated step here."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    forest: Any = HistGradientBoostingRegressor(max_iter=300, learning_rate=0.06, random_state=SEED)  # type: ignore[no-untyped-call]
    forest.fit(train.fields["x"].numpy(), train.fields["y"].numpy())
    target = judges.fields["y"].double().numpy()
    error = np.abs(forest.predict(judges.fields["x"].numpy()) - target)
    return {
        "rows": float(len(target)),
        "absolute_error": float(error.sum()),
        "squared_error": float((error**2).sum()),
        "target": float(target.sum()),
        "squared_target": float((target**2).sum()),
    }


def by_person(found: Lifters) -> Split:
    """Everybody judges once, trained on all others."""
    people = torch.unique(found.rows.person)
    shuffled = people[torch.randperm(len(people), generator=torch.Generator().manual_seed(SEED))]
    for fold in shuffled.tensor_split(FOLDS):
        judging = torch.isin(found.rows.person, fold)
        yield found.rows.take(~judging), found.rows.take(judging)


def by_federation(found: Lifters) -> Split:
    """The people of each large federation judge once, trained on all other federations."""
    for name in names_by_size(found)[:PARTIES]:
        judges = frozenset({name})
        yield found.of(frozenset(found.home.values()) - judges), found.of(judges)


def by_entry(found: Lifters) -> Split:
    """What not to do: other entries of a judging person are trained on."""
    order = torch.randperm(len(found.rows), generator=torch.Generator().manual_seed(SEED))
    for fold in order.tensor_split(FOLDS):
        judging = torch.zeros(len(found.rows), dtype=torch.bool)
        judging[fold] = True
        yield found.rows.take(~judging), found.rows.take(judging)


def names_by_size(found: Lifters) -> list[str]:
    """Federations by how many people call them home."""
    sizes = Counter(found.home.values())
    return sorted(sizes, key=lambda name: (-sizes[name], name))


def _line(model: str, split: str, sums: Sums) -> dict[str, Any]:
    figures = WORKLOAD.summary(sums)
    return {
        "split": split,
        "model": model,
        "MAE, kg": round(figures["mae_kg"], 2),
        "R²": round(figures["r2"], 3),
        "judged entries": int(sums["rows"]),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
