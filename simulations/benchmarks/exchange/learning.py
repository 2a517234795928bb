"""What fewer bits cost a model that learns from real motion: accuracy against bits per value, round by round.

Every person is a party, and each fold holds two people out; beside it stand invented people, dealt to sixteen parties,
where real people are too few. All bytes are those of messages as they were sent, headers included.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from federation.workload import trained_names
from federation.workloads import find
from simulations import engine
from simulations.benchmarks.exchange.jobs import Found, Job
from simulations.benchmarks.record import table
from simulations.scenario import read_words

FOLDS = 5
BYTES_OF_FP32 = 4

Table = list[dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One way to exchange; `goal`: the compression that was promised at most half a point of accuracy for."""

    name: str
    exchange: Mapping[str, Any]
    goal: str = ""


PLAIN = Case("raw32, both ways", {"up": "raw32", "down": "raw32"})
CASES = (
    PLAIN,
    Case("int8_block up", {"up": "int8_block"}),
    Case("urq 0.5 up", {"up": "urq", "up_bits": 0.5}, "64 × up, n ≤ 5"),
    Case("urq 0.1 up", {"up": "urq", "up_bits": 0.1}, "320 × up, n ≥ 16"),
    Case("urq 0.05 up", {"up": "urq", "up_bits": 0.05}, "640 × up, n ≥ 16"),
    Case("ecq 0.5 down", {"down": "ecq", "down_bits": 0.5}),
    Case("urq 0.25 up, ecq 0.5 down", {"up": "urq", "up_bits": 0.25, "down": "ecq", "down_bits": 0.5}, "85 × both"),
    Case("urq 0.05 up, ecq 0.5 down", {"up": "urq", "up_bits": 0.05, "down": "ecq", "down_bits": 0.5}, "100 × both"),
    Case("lanes of 8 bits, secure", {"up": "lane", "up_bits": 8, "secure": True, "clip": 4.0}),
)


@dataclass(frozen=True)
class Setting:
    """People and how they learn; `held_out`: who judges in each fold, named by the data's own groups."""

    name: str
    words: Mapping[str, Any]
    held_out: tuple[tuple[str, ...], ...] = ()

    def scenario(self, case: Case, fold: int) -> dict[str, Any]:
        """The scenario of one run, as words."""
        words: dict[str, Any] = json.loads(json.dumps(self.words)) | {"exchange": dict(case.exchange)}
        if self.held_out:
            words["data"]["held_out_groups"] = list(self.held_out[fold])
        return words


def _pairs(name: str, first: int) -> tuple[tuple[str, ...], ...]:
    return tuple((f"{name}-{first + 2 * fold:02d}", f"{name}-{first + 2 * fold + 1:02d}") for fold in range(FOLDS))


COMMON = {"format": "paceline-scenario-1", "title": "Learning with fewer bits", "seeds": [1]}
TRAINING = {"local_epochs": 2, "learning_rate": 0.1}
SETTINGS = (
    Setting(
        "watch",
        COMMON
        | {
            "name": "watch",
            "workload": "exercise_recognition",
            "rounds": 20,
            "data": {"source": "watch"},
            "parties": {"count": 8, "deal": "by-group"},
            "training": TRAINING,
        },
        _pairs("watch", 1),
    ),
    Setting(
        "walkers",
        COMMON
        | {
            "name": "walkers",
            "workload": "activity_recognition",
            "rounds": 30,
            "data": {"source": "walkers"},
            "parties": {"count": 10, "deal": "by-group"},
            "training": TRAINING,
        },
        _pairs("walker", 1),
    ),
    Setting(
        "invented, 16 parties",
        COMMON
        | {
            "name": "invented",
            "workload": "exercise_recognition",
            "rounds": 20,
            "data": {
                "source": "invented",
                "people": 80,
                "rows_per_person": 12,
                "held_out": 0.2,
                "label_skew": 0.5,
                "rotation_deg": 20.0,
            },
            "parties": {"count": 16},
            "training": TRAINING,
        },
    ),
)


def jobs() -> dict[str, Job]:
    """Every run, by name; the first folds of all first, so that what is there can be read early."""
    every = [(setting, case, fold) for fold in range(FOLDS) for setting in SETTINGS for case in CASES]
    return {f"{job[0].name}, {job[1].name}, fold {job[2]}": partial(run, *job) for job in every}


def run(setting: Setting, case: Case, fold: int) -> dict[str, Any]:
    """One run on one thread: accuracy and bytes of every round."""
    torch.set_num_threads(1)
    scenario = read_words(setting.scenario(case, fold))
    outcome = engine.run(scenario, fold + 1, lambda _: None)
    workload = find(scenario.workload)
    weights = workload.initial(0)
    values = sum(weights[name].numel() for name in trained_names(weights, workload.phases[0], ()))
    return {
        "setting": setting.name,
        "case": case.name,
        "fold": fold,
        "values": values,
        "parties": [done.answered for done in outcome.rounds],
        "accuracy": [round(done.scores[outcome.headline], 4) for done in outcome.rounds],
        "bytes_up": [done.bytes_up for done in outcome.rounds],
        "bytes_down": [done.bytes_down for done in outcome.rounds],
    }


@dataclass(frozen=True)
class Point:
    """A case on one kind of people: accuracies over folds, differences to fp32 in the same fold, bits per value.

    `up_ratio`, `both_ratio`: how many times fewer bytes than float32 takes. Accuracies are parts of 100.
    """

    people: str
    case: Case
    late: tuple[float, ...]
    lost: tuple[float, ...]
    up: float
    down: float
    up_ratio: float
    both_ratio: float


def points(rows: Table) -> list[Point]:
    """A point per setting and case, where fp32 was run in all of its folds."""
    found = []
    for setting in SETTINGS:
        plain = {row["fold"]: _late(row) for row in rows if _is(row, setting, PLAIN)}
        for case in CASES:
            ours = [row for row in rows if _is(row, setting, case)]
            if ours and all(row["fold"] in plain for row in ours):
                found.append(_point(setting.name, case, ours, plain))
    return found


def _point(people: str, case: Case, ours: Table, plain: Mapping[int, float]) -> Point:
    return Point(
        people=people,
        case=case,
        late=tuple(100 * _late(row) for row in ours),
        lost=tuple(100 * (_late(row) - plain[row["fold"]]) for row in ours),
        up=statistics.mean(_bits(row, "bytes_up") for row in ours),
        down=statistics.mean(_bits(row, "bytes_down") for row in ours),
        up_ratio=statistics.mean(_ratio(row, "bytes_up") for row in ours),
        both_ratio=statistics.mean(_ratio(row, "bytes_up", "bytes_down") for row in ours),
    )


def summary(rows: Table) -> Table:
    """A line per setting and case: accuracy over folds, difference to fp32 in the same fold, real compression."""
    return [
        {
            "people": point.people,
            "exchange": point.case.name,
            "accuracy (%)": f"{statistics.mean(point.late):.1f} ± {spread(point.late):.1f}",
            "against fp32 (points)": f"{statistics.mean(point.lost):+.2f} ± {spread(point.lost):.2f}",
            "bits per value up": round(point.up, 3),
            "bits per value down": round(point.down, 3),
            "fp32 / up": f"{point.up_ratio:.0f} ×",
            "fp32 / both": f"{point.both_ratio:.0f} ×",
            "promised for ≤ 0.5 points": point.case.goal,
        }
        for point in points(rows)
    ]


def _is(row: Mapping[str, Any], setting: Setting, case: Case) -> bool:
    return (row["setting"], row["case"]) == (setting.name, case.name)


def _late(row: Mapping[str, Any]) -> float:
    """The mean accuracy of the last five rounds: one round alone hangs on a few windows."""
    late: list[float] = row["accuracy"][-5:]
    return float(statistics.mean(late))


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

Mean of {FOLDS} folds ± standard deviation between folds; accuracy is that of the last five rounds. *watch*: 10
people, 8 parties of one person, shoulder exercises. *walkers*: 12 people, 10 parties of one person, activities of daily
life. Two people are held out in each fold, others each time, so that accuracy differs much between folds;
"against fp32" compares within a fold and differs less. *invented*: 64 people who train in 16 parties with skewed
classes and watches worn askew, because targets for n ≥ 16 cannot be tried on so few real people. Bits and ratios are
those of a round after the first, by the bytes that were sent, headers and keys included: a model of 14,000 values takes
880 bytes at half a bit, and headers of 500 to 900 bytes weigh as much. What larger models take is on the page of
[the exchange](exchange.md).

{table(summary([*found.values()]))}
"""
