"""How much like people generated motion is: the GAN's windows, real ones and invented ones teach the same classifiers.

Run: ``python -m simulations.benchmarks.generation`` (ten minutes on one thread; `--folds 1` for a look).
It writes ``docs/benchmarks/generation.json`` and ``.md``; after an interruption it goes on where it was. Every score is
on people whose rows nobody trained on.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from federation import workloads
from federation.schema import Rows
from federation.workload import Weights
from server.coordinator import run_of
from server.rounds import first_or_latest
from simulations import engine, generation
from simulations.benchmarks.kept import Kept, places
from simulations.benchmarks.record import write
from simulations.datasets import exercise_rows, watch_recordings
from simulations.scenario import Scenario, read

SCENARIOS = Path(__file__).parents[1] / "scenarios"
OPEN, PRIVATE = SCENARIOS / "motion_gan.toml", SCENARIOS / "motion_gan_private.toml"
FOLDS = ((9, 10), (1, 2), (3, 4), (5, 6), (7, 8))
"""People of the watch data who judge."""

INVENTED_PEOPLE = 70
POPULATIONS = (15, 125, 500)
"""Invented people, a fifth of whom judge."""

COMPARED = 500
"""Of them, who are also learned from without privacy."""

Figures = dict[str, float]
Measure = Callable[[], Figures]


def judged(shown: Rows, people: Rows) -> Figures:
    """What each judge makes of `shown`."""
    return {name: judge(shown, people) for name, judge in generation.JUDGES.items()}


def federated(scenario: Scenario, seed: int) -> Weights:
    """The model of the scenario's last round, by the engine."""
    with tempfile.TemporaryDirectory(prefix="paceline-") as path:
        stage = engine.prepare(Path(path), scenario, seed)
        engine.play_inline(stage, Path(path), lambda _: None)
        coordinator = stage.federation.coordinator
        run = run_of(coordinator.store.task(stage.task).manifest())
        return first_or_latest(coordinator, stage.federation.link, run).weights


def of_ten(held_out: Sequence[int]) -> dict[str, Measure]:
    """Every line about the ten people, with `held_out` of them as judges."""
    rows, held = exercise_rows(watch_recordings()), torch.tensor(held_out)
    people, rest = rows.of(held), rows.take(~torch.isin(rows.person, held))
    names = [f"watch-{person:02d}" for person in held_out]
    scenario = read(OPEN).point({"data.held_out_groups": names, "evaluate_every": 1000})
    terms = read(PRIVATE)
    privacy = terms.privacy | {"rows_per_person": 64}
    private = scenario.point({"privacy": privacy, "rounds": terms.rounds, "training": terms.training.model_dump()})

    def learned(weights: Weights) -> Figures:
        return judged(generation.generated(weights), people)

    return {
        "real people (TRTR)": lambda: judged(rest, people),
        "invented rows": lambda: judged(workloads.find("motion_gan").invent(1, INVENTED_PEOPLE, 20), people),
        "generated, central, no DP": lambda: learned(generation.central(rest, scenario.rounds, scenario.training)),
        "generated, federated, no DP, 8 people": lambda: learned(federated(scenario, 1)),
        "generated, federated, ε = 8, 8 people": lambda: learned(federated(private, 1)),
    }


def of_many(seed: int) -> dict[str, Measure]:
    """Every line about invented people, drawn with `seed`."""
    terms = read(PRIVATE)
    asked = [(people, "ε = 8", terms.privacy) for people in POPULATIONS] + [(COMPARED, "no DP", {"unit": "none"})]
    return {
        f"generated, federated, {how}, {people - round(people * terms.data.held_out):,} invented people": partial(
            population, people, seed, privacy
        )
        for people, how, privacy in asked
    }


def population(people: int, seed: int, privacy: Mapping[str, Any]) -> Figures:
    """How a federation of invented people does, by the workload's own judge."""
    scenario = read(PRIVATE).point({"data.people": people, "evaluate_every": 1000, "privacy": dict(privacy)})
    return {"ridge": engine.run(scenario, seed, lambda _: None).rounds[-1].scores["tstr_accuracy"]}


def line(what: str, found: Sequence[Figures]) -> dict[str, Any]:
    """Mean ± standard deviation over folds or seeds."""
    cells: dict[str, Any] = dict.fromkeys(generation.JUDGES)
    for name in found[0]:
        values = [figures[name] for figures in found]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        cells[name] = f"{statistics.mean(values):.3f}{spread}"
    return {"shown to the judge": what} | cells


def measured(kept: Kept, folds: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """A line for each way to teach; the parts of all that `kept` holds are not measured again."""
    every = {f"judged by {' and '.join(map(str, pair))}": partial(of_ten, pair) for pair in folds}
    every |= {f"drawn with seed {seed}": partial(of_many, seed) for seed in seeds}
    found: dict[str, list[Figures]] = {}
    for which, lines in every.items():
        for what, measure in lines().items():
            found.setdefault(what, []).append(kept.part(f"{what}, {which}", measure))
            print(f"{what}, {which}: {found[what][-1]}", file=sys.stderr, flush=True)
    return [line(what, figures) for what, figures in found.items()]


def main(words: Sequence[str] = ()) -> int:
    """Measure every line and write the tables; run again after an interruption, it goes on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, default=len(FOLDS), help="how many pairs of the ten people judge in turn")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the invented people")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "docs" / "benchmarks")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    kept = Kept(asked.out / "generation.parts.jsonl")
    rows = measured(kept, FOLDS[: asked.folds], asked.seeds)
    title = "Generated motion: accuracy on held-out people of classifiers that saw nothing else"
    seeds = " ".join(map(str, asked.seeds))
    command = f"python -m simulations.benchmarks.generation --folds {asked.folds} --seeds {seeds}"
    write(asked.out, "generation", title, command, rows, places([*kept.parts().values()]))
    raw = asked.out / "generation.json"
    whole = json.loads(raw.read_text("utf-8")) | {"parts": [*kept.parts().values()]}
    raw.write_text(json.dumps(whole, indent=2) + "\n", "utf-8")
    kept.forget(kept.parts())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
