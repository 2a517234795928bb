"""Which models are trained to try references, rotations and AdamW, and what became of each."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from simulations.benchmarks.exchange.cases import SETTINGS, Setting
from simulations.benchmarks.exchange.jobs import Job
from simulations.benchmarks.exchange.rounds import Way, adamw, pace, prepared, run

FOLDS, EXTRA_FOLDS, ROUNDS, LATE = 3, 2, 15, 5
VALUES = 14_119
PEOPLE = {"watch, 8 parties": SETTINGS[0], "invented, 16 parties": SETTINGS[2]}
SGD, ADAMW = "SGD", "AdamW"
RATES = {SGD: (0.1, 0.2, 0.4), ADAMW: (0.003, 0.01, 0.03)}
CHOSEN = {SGD: 0.2, ADAMW: 0.01}
"""By the first fold; what the other folds and codecs are tried with."""
AS_THEY_ARE, URQ = Way("fp32"), Way("urq 0.1", 0.1)
Table = list[dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One way to learn; `only`: the people that it is tried on, all if empty; `extra`: in the first folds alone."""

    way: Way
    optimiser: str = SGD
    only: str = ""
    extra: bool = False

    def rates(self, fold: int = 0) -> Sequence[float]:
        """The learning rates that are tried: all of them in the first fold where nothing is coded."""
        return RATES[self.optimiser] if self.way == AS_THEY_ARE and not fold else (CHOSEN[self.optimiser],)


def referred(way: Way) -> Way:
    """The same with references."""
    return replace(way, name=f"{way.name}, references", pace=pace(way.bits, VALUES))


def cases() -> tuple[Case, ...]:
    """All of them, the most telling first."""
    few, many, half = Way("urq 0.05", 0.05), Way("urq 0.5", 0.5), Way("urq 0.1, half drawn", 0.1, drawn=8)
    invented = list(PEOPLE)[1]
    return (
        Case(AS_THEY_ARE),
        Case(URQ),
        Case(replace(URQ, name="urq 0.1, one rotation for all", own_rotation=False)),
        Case(referred(URQ)),
        Case(AS_THEY_ARE, ADAMW),
        Case(URQ, ADAMW),
        *(Case(way, SGD, invented, extra=True) for way in (half, referred(half), many, referred(many))),
        *(Case(way, extra=True) for way in (few, referred(few))),
    )


def jobs() -> dict[str, Job]:
    """Every run, by name."""
    every = [(case, fold) for fold in range(FOLDS) for case in cases() if fold < (EXTRA_FOLDS if case.extra else FOLDS)]
    return {
        f"{people}, {case.optimiser} {rate:g}, {case.way.name}, fold {fold}": partial(train, people, case, rate, fold)
        for case, fold in every
        for people in (PEOPLE if not case.only else (case.only,))
        for rate in case.rates(fold)
    }


def train(people: str, case: Case, rate: float, fold: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """One run on one thread."""
    torch.set_num_threads(1)
    setting: Setting = PEOPLE[people]
    stage = replace(prepared(setting, fold, rate), rounds=rounds)
    local = stage.sgd if case.optimiser == SGD else partial(adamw, stage)
    of = {"people": people, "optimiser": case.optimiser, "rate": rate, "way": case.way.name, "fold": fold}
    return of | run(stage, local, case.way, fold + 1)


def late(row: Mapping[str, Any], what: str = "accuracy") -> float:
    """The mean of the last rounds: one round alone hangs on a few windows."""
    return float(statistics.mean(row[what][-LATE:]))


def of_case(rows: Sequence[Mapping[str, Any]], people: str, case: Case, rate: float) -> dict[int, Mapping[str, Any]]:
    """A case's runs, by fold."""
    wanted = (people, case.optimiser, rate, case.way.name)
    named = ("people", "optimiser", "rate", "way")
    return {row["fold"]: row for row in rows if tuple(row[name] for name in named) == wanted}


def summary(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line per case: accuracy, against the same optimiser in fp32 in the same folds, errors early and late."""
    every = [(people, case, rate) for people in PEOPLE for case in cases() for rate in case.rates()]
    lines = []
    for people, case, rate in every:
        plain = of_case(rows, people, replace(case, way=AS_THEY_ARE), rate)
        ours = {fold: row for fold, row in of_case(rows, people, case, rate).items() if fold in plain}
        if ours:
            of = {"people": people, "folds": len(ours), "optimiser": case.optimiser, "rate": rate}
            pairs = [(row, plain[fold]) for fold, row in ours.items()]
            lines.append(of | {"updates": case.way.name} | _line(pairs))
    return lines


def _line(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    ours = [row for row, _ in pairs]
    reached = [100 * late(row) for row in ours]
    lost = [100 * (late(row) - late(plain)) for row, plain in pairs]
    exact = ours[0]["way"] == AS_THEY_ARE.name
    error, one = "error of the mean", "error of one"
    return {
        "accuracy (%)": _spread(reached),
        "against fp32 (points)": None if exact else _spread(lost, "+"),
        "error of the mean, first round": None if exact else _rounded(row[error][0] for row in ours),
        "last five": None if exact else _rounded(late(row, error) for row in ours),
        "of one party, last five": None if exact else _rounded(late(row, one) for row in ours),
    }


def _spread(values: Sequence[float], sign: str = "") -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.1f}{spread}"


def _rounded(values: Iterable[float]) -> float:
    return float(f"{statistics.mean(values):.3g}")
