"""What fewer bits cost a model that learns from real motion: accuracy against bits per value, round by round.

Every person is a party, and each fold holds two people out; beside it stand invented people, dealt to sixteen parties,
where real people are too few. All bytes are those of messages as they were sent, headers included.
"""

import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from federation.errors import UsageError
from federation.workload import trained_names
from federation.workloads import find
from simulations import engine
from simulations.benchmarks import record
from simulations.scenario import read_words

COMMAND = "python -m simulations.benchmarks.exchange_learning"
NAME = "exchange_learning"
FOLDS = 5
BYTES_OF_FP32 = 4
AT_ONCE = 2

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


def runs(done: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Setting, Case, int]]:
    """What is still to be run."""
    have = {(row["setting"], row["case"], row["fold"]) for row in done}
    for setting in SETTINGS:
        for case in CASES:
            for fold in range(FOLDS):
                if (setting.name, case.name, fold) not in have:
                    yield setting, case, fold


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


def summary(rows: Table) -> Table:
    """A line per setting and case: accuracy over folds, difference to fp32 in the same fold, real compression."""
    lines = []
    for setting in SETTINGS:
        for case in CASES:
            ours = [row for row in rows if row["setting"] == setting.name and row["case"] == case.name]
            plain = {row["fold"]: _late(row) for row in rows if _is_plain(row, setting)}
            if ours and all(row["fold"] in plain for row in ours):
                lines.append({"people": setting.name, "exchange": case.name} | _line(ours, plain, case))
    return lines


def _line(ours: Table, plain: Mapping[int, float], case: Case) -> dict[str, Any]:
    late = [100 * _late(row) for row in ours]
    lost = [100 * (_late(row) - plain[row["fold"]]) for row in ours]
    return {
        "accuracy (%)": f"{statistics.mean(late):.1f} ± {_spread(late):.1f}",
        "against fp32 (points)": f"{statistics.mean(lost):+.2f} ± {_spread(lost):.2f}",
        "bits per value up": round(statistics.mean(_bits(row, "bytes_up") for row in ours), 3),
        "bits per value down": round(statistics.mean(_bits(row, "bytes_down") for row in ours), 3),
        "fp32 / up": f"{statistics.mean(_ratio(row, 'bytes_up') for row in ours):.0f} ×",
        "fp32 / both": f"{statistics.mean(_ratio(row, 'bytes_up', 'bytes_down') for row in ours):.0f} ×",
        "promised for ≤ 0.5 points": case.goal,
    }


def _is_plain(row: Mapping[str, Any], setting: Setting) -> bool:
    return (row["setting"], row["case"]) == (setting.name, PLAIN.name)


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


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def draw(rows: Table, path: Path) -> None:
    """Mean accuracy over rounds, one panel for each setting, one line for each case."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from simulations.pages.drawing import COLOURS, QUIET, heading, legend_above, panels

    shown = [setting.name for setting in SETTINGS if any(row["setting"] == setting.name for row in rows)]
    figure, made = panels(len(shown))
    for panel, name in zip(made, shown, strict=True):
        for number, case in enumerate(CASES):
            curves = [row["accuracy"] for row in rows if row["setting"] == name and row["case"] == case.name]
            if curves:
                mean = [statistics.mean(points) for points in zip(*curves, strict=True)]
                plain = case is PLAIN
                colour, width = QUIET if plain else COLOURS[number % len(COLOURS)], 3.0 if plain else 1.2
                dash = "-" if number < len(COLOURS) else "--"
                panel.plot(range(1, len(mean) + 1), mean, label=case.name, color=colour, lw=width, ls=dash)
        panel.set_xlabel("round")
        panel.set_ylabel("accuracy on people held out")
        heading(panel, name)
    legend_above(figure, made[0])
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def page(about: Mapping[str, str], rows: Table) -> str:
    """The Markdown document."""
    return f"""# Learning with fewer bits

`{about["command"]}` on {about["machine"]}, commit {about["commit"]}.

![Accuracy over rounds](exchange_learning.png)

Mean of {FOLDS} folds ± standard deviation between folds; accuracy is that of the last five rounds. *watch*: 10
people, 8 parties of one person, shoulder exercises. *walkers*: 12 people, 10 parties of one person, activities of daily
life. Two people are held out in each fold, others each time, so that accuracy differs much between folds;
"against fp32" compares within a fold and differs less. *invented*: 64 people who train in 16 parties with skewed
classes and watches worn askew, because targets for n ≥ 16 cannot be tried on so few real people. Bits and ratios are
those of a round after the first, by the bytes that were sent, headers and keys included: a model of 14,000 values takes
880 bytes at half a bit, and headers of 500 to 900 bytes weigh as much. What larger models take is on the page of
[trials](exchange_trials.md).

{record.table(summary(rows))}
"""


def main(out: Path) -> None:
    """Run what is missing in ``out/exchange_learning.json``, and write it with its page."""
    raw = out / f"{NAME}.json"
    rows: Table = json.loads(raw.read_text("utf-8"))["rows"] if raw.is_file() else []
    about = {"command": COMMAND, "machine": record.machine(), "commit": record.commit()}
    with ProcessPoolExecutor(AT_ONCE) as pool:
        waiting = [(job, pool.submit(partial(run, *job))) for job in runs(rows)]
        for (setting, case, fold), made in waiting:
            try:
                rows.append(made.result())
            except UsageError as error:
                print(f"{setting.name} left out: {error}", file=sys.stderr)
                continue
            print(f"{setting.name}, {case.name}, fold {fold}: {_late(rows[-1]):.3f}", file=sys.stderr, flush=True)
            raw.write_text(json.dumps({**about, "rows": rows}) + "\n", "utf-8")
    draw(rows, out / f"{NAME}.png")
    (out / f"{NAME}.md").write_text(page(about, rows), "utf-8")


if __name__ == "__main__":
    main(Path("docs/benchmarks"))
