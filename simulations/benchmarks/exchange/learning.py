"""What fewer bits cost a model that learns from real motion: accuracy against bits per value, round by round.

Every person is a party, and each fold holds two people out; beside it stand invented people, dealt to sixteen parties,
where real people are too few. What decides is the difference to fp32 on the same people with the same batches; a
second draw of some folds tells what chance does. All bytes are those of messages as they were sent, headers included.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import torch

from federation.workload import trained_names
from federation.workloads import find
from simulations import engine, sources
from simulations.benchmarks.exchange.cases import CASES, DRAWN_AGAIN, FOLDS, PLAIN, SETTINGS, Case, Setting
from simulations.benchmarks.exchange.jobs import Found, Job
from simulations.benchmarks.record import table
from simulations.dealing import deal
from simulations.engine import Stage
from simulations.founding import found
from simulations.scenario import Scenario, read_words
from simulations.scratch import scratch

APART = 1000
"""Between the seeds of two draws: more than there are folds."""
BYTES_OF_FP32 = 4
Table = list[dict[str, Any]]


def jobs() -> dict[str, Job]:
    """Every run, by name; the first draws and folds of all first, so that what is there can be read early."""
    every = [
        (setting, case, fold, draw)
        for draw in range(2)
        for fold in range(FOLDS)
        for setting in SETTINGS
        for case in CASES
        if draw < case.draws(fold)
    ]
    return {
        f"{setting.name}, {case.name}, fold {fold}, draw {draw}": partial(run, setting, case, fold, draw)
        for setting, case, fold, draw in every
    }


def run(setting: Setting, case: Case, fold: int, draw: int) -> dict[str, Any]:
    """One run on one thread: accuracy and bytes of every round."""
    torch.set_num_threads(1)
    scenario = read_words(setting.scenario(case, fold))
    with scratch() as path:
        outcome = engine.play_inline(_stage(path, scenario, fold, draw), path, lambda _: None)
    workload = find(scenario.workload)
    weights = workload.initial(0)
    values = sum(weights[name].numel() for name in trained_names(weights, workload.phases[0], ()))
    return {
        "setting": setting.name,
        "case": case.name,
        "fold": fold,
        "draw": draw,
        "values": values,
        "parties": [done.answered for done in outcome.rounds],
        "accuracy": [round(done.scores[outcome.headline], 4) for done in outcome.rounds],
        "bytes_up": [done.bytes_up for done in outcome.rounds],
        "bytes_down": [done.bytes_down for done in outcome.rounds],
    }


def _stage(path: Path, scenario: Scenario, fold: int, draw: int) -> Stage:
    """The fold's people, dealt alike in all draws; batches, rotations and masks hang on the draw."""
    people = sources.people(scenario.data, find(scenario.workload), fold + 1)
    dealt, seed = deal(scenario, people, fold + 1), fold + 1 + APART * draw
    return Stage(scenario, seed, *found(path, scenario, dealt, people, seed), people, dealt)


@dataclass(frozen=True)
class Point:
    """A case on one kind of people: accuracies of its runs, differences to fp32 in the same fold and draw, bits per
    value.

    `late` and `lost` are of the last rounds, `lost_over_all` of all rounds; parts of 100. `late` is of first draws
    alone, which all cases have, so that cases compare. `up_ratio`, `both_ratio`: how many times fewer bytes than
    float32 takes.
    """

    people: str
    case: Case
    folds: tuple[int, ...]
    late: tuple[float, ...]
    lost: tuple[float, ...]
    lost_over_all: tuple[float, ...]
    up: float
    down: float
    up_ratio: float
    both_ratio: float

    def told(self, of: Sequence[float]) -> str:
        """The mean of a figure for each run ± its standard error, which one fold alone does not tell."""
        folds = self._by_fold(of)
        return f"{statistics.mean(folds):+.2f}" + (f" ± {self.error(of):.2f}" if len(folds) > 1 else "")

    def error(self, of: Sequence[float]) -> float:
        """The standard error of the mean of a figure for each run."""
        folds = self._by_fold(of)
        return spread(folds) / math.sqrt(len(folds))

    def _by_fold(self, of: Sequence[float]) -> list[float]:
        """Means over draws: draws of a fold share their people, so that only folds count as independent."""
        return [
            statistics.mean(value for value, own in zip(of, self.folds, strict=True) if own == fold)
            for fold in sorted(set(self.folds))
        ]


def points(rows: Table) -> list[Point]:
    """A point per setting and case, where fp32 was run in all of its folds and draws."""
    every = []
    for setting in SETTINGS:
        plain = {_place(row): row for row in rows if _is(row, setting, PLAIN)}
        for case in CASES:
            ours = [row for row in rows if _is(row, setting, case)]
            if any(map(_first, ours)) and all(_place(row) in plain for row in ours):
                every.append(_point(setting.name, case, ours, [plain[_place(row)] for row in ours]))
    return every


def _point(people: str, case: Case, ours: Table, plain: Table) -> Point:
    pairs = list(zip(ours, plain, strict=True))
    return Point(
        people=people,
        case=case,
        folds=tuple(row["fold"] for row in ours),
        late=tuple(100 * _late(row) for row in ours if _first(row)),
        lost=tuple(100 * (_late(row) - _late(other)) for row, other in pairs),
        lost_over_all=tuple(100 * (_over_all(row) - _over_all(other)) for row, other in pairs),
        up=statistics.mean(_bits(row, "bytes_up") for row in ours),
        down=statistics.mean(_bits(row, "bytes_down") for row in ours),
        up_ratio=statistics.mean(_ratio(row, "bytes_up") for row in ours),
        both_ratio=statistics.mean(_ratio(row, "bytes_up", "bytes_down") for row in ours),
    )


def chance(rows: Table, people: str) -> float | None:
    """The standard deviation of a difference of fp32 to itself: of two draws on one fold; None where there is one."""
    plain = [row for row in rows if (row["setting"], row["case"]) == (people, PLAIN.name)]
    pairs = [100 * (_late(a) - _late(b)) for a, b in combinations(plain, 2) if a["fold"] == b["fold"]]
    return math.sqrt(statistics.mean(difference**2 for difference in pairs)) if pairs else None


def summary(rows: Table) -> Table:
    """A line per setting and case: accuracy over folds, differences to fp32 in the same run, real compression."""
    return [
        {
            "people": point.people,
            "exchange": point.case.name,
            "runs": len(point.lost),
            "accuracy (%)": f"{statistics.mean(point.late):.1f} ± {spread(point.late):.1f}",
            "against fp32 (points)": point.told(point.lost),
            "spread of a run": _run_spread(rows, point),
            "over all rounds": point.told(point.lost_over_all),
            "bits per value up": round(point.up, 3),
            "bits per value down": round(point.down, 3),
            "fp32 / up": f"{point.up_ratio:.0f} ×",
            "fp32 / both": f"{point.both_ratio:.0f} ×",
            "promised for ≤ 0.5 points": point.case.goal,
        }
        for point in points(rows)
    ]


def _run_spread(rows: Table, point: Point) -> str | None:
    width = chance(rows, point.people) if point.case == PLAIN else spread(point.lost)
    return None if width is None else f"{width:.2f}"


def _is(row: Mapping[str, Any], setting: Setting, case: Case) -> bool:
    return (row["setting"], row["case"]) == (setting.name, case.name)


def _place(row: Mapping[str, Any]) -> tuple[int, int]:
    """People and batches: what runs that are compared must share."""
    return row["fold"], row["draw"]


def _first(row: Mapping[str, Any]) -> bool:
    return not row["draw"]


def _late(row: Mapping[str, Any]) -> float:
    """The mean accuracy of the last five rounds: one round alone hangs on a few windows."""
    late: list[float] = row["accuracy"][-5:]
    return float(statistics.mean(late))


def _over_all(row: Mapping[str, Any]) -> float:
    """The mean accuracy of all rounds: how quickly it was learnt."""
    return float(statistics.mean(row["accuracy"]))


def _bits(row: Mapping[str, Any], way: str) -> float:
    """Bits per value and party of a later round; the first one carries a whole model down."""
    sent: list[float] = [
        8 * size / (row["values"] * parties) for size, parties in zip(row[way], row["parties"], strict=True)
    ]
    return statistics.median(sent[1:])


def _ratio(row: Mapping[str, Any], *ways: str) -> float:
    return len(ways) * 8 * BYTES_OF_FP32 / sum(_bits(row, way) for way in ways)


def spread(values: Sequence[float]) -> float:
    """The standard deviation, 0 of a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def page(head: str, found: Found) -> str:
    """The Markdown document."""
    return f"""# Learning with fewer bits

{head}

![Accuracy over rounds](exchange_learning.png)

Accuracy is that of the last five rounds, mean ± standard deviation over folds. *watch*: 10 people, 8 parties of one
person, shoulder exercises. *walkers*: 12 people, 10 parties of one person, activities of daily life. Two people are
held out in each of {FOLDS} folds, others each time, so that accuracy differs much between folds. *invented*: 64 people
who train in 16 parties with skewed classes and watches worn askew, because targets for n ≥ 16 cannot be tried on so few
real people.

"Against fp32" compares runs of the same people with the same batches: the mean difference ± its standard error over
folds, for draws of a fold share their people. {DRAWN_AGAIN} folds of raw32 and of "85 × both" are drawn twice, with
other batches and roundings; accuracies and the plot are of first draws, which all cases have. "Spread of a run" is the
standard deviation of such a difference; beside raw32 it is that between two runs in raw32 of one fold with other
batches: what chance does where no bit is saved. "Over all rounds" compares the means of all rounds; it tells how
quickly was learnt, and hangs less on chance.

Bits and ratios are those of a round after the first, by the bytes that were sent, headers and keys included: a model of
14,000 values takes 880 bytes at half a bit, and headers of 500 to 900 bytes weigh as much. What larger models take is
on the page of [the exchange](exchange.md).

{table(summary([*found.values()]))}
"""
