"""How well recommendations are, federated and private, against popularity and against training in one place.

Run: ``python -m simulations.benchmarks.recommendation`` (about ten minutes on one thread; `--seeds 1` for a look).
It writes ``docs/benchmarks/recommendation.json`` and ``.md``.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from federation import workloads
from simulations import engine, sources
from simulations.benchmarks.record import write
from simulations.dealing import deal
from simulations.recommendation import Figures, central, linear, popularity
from simulations.scenario import Scenario, read

SCENARIO = Path(__file__).parents[1] / "scenarios" / "session_recommendation.toml"
PRIVATE = Path(__file__).parents[1] / "scenarios" / "session_recommendation_private.toml"
METRICS = ("recall_at_10", "ndcg_at_10")


@dataclass(frozen=True)
class Variant:
    """A line of the table that a federation computes: which scenario, with what changed."""

    what: str
    scenario: Path
    changes: Mapping[str, Any]


def _private(what: str, **changes: Any) -> Variant:
    return Variant(what, PRIVATE, {key.replace("__", "."): value for key, value in changes.items()})


VARIANTS = (
    Variant("federated, no DP, 4 parties", SCENARIO, {}),
    *(_private(f"ε = {epsilon}, all 14,054 numbers", privacy__epsilon=float(epsilon)) for epsilon in (8, 4, 2, 1)),
    _private("ε = 8, all, noise once for all", parties__count=1),
    _private("ε = 1, all, noise once for all", parties__count=1, privacy__epsilon=1.0),
    _private("ε = 8, content. and items.bias: 554", training__trains=["content.", "items.bias"]),
    _private("ε = 1, content. and items.bias: 554", training__trains=["content.", "items.bias"], privacy__epsilon=1.0),
    _private("ε = 8, items.bias only: 500", training__trains=["items.bias"]),
    _private("ε = 8, content. only: 54", training__trains=["content."], privacy__clip=0.3),
    _private("ε = 1, content. only: 54", training__trains=["content."], privacy__clip=0.3, privacy__epsilon=1.0),
)


def references(scenario: Scenario, seed: int) -> dict[str, Figures]:
    """What needs no federation, on the same split."""
    people = sources.people(scenario.data, workloads.find(scenario.workload), seed)
    dealt = deal(scenario, people, seed)
    rows = people.rows(np.sort(np.concatenate(list(dealt.hands.values()))), 0.0)
    judges, item = people.rows(dealt.judges, 0.0), workloads.find(scenario.workload)
    return {
        "most popular among those who train": popularity(rows, judges),
        "untrained: public content and fame": item.summary(item.scores(item.initial(seed), judges)),
        "central, same model, no DP": central(rows, judges, scenario.training, scenario.rounds, seed),
        "linear model (EASE), central, no DP": linear(rows, judges),
    }


def measured(variant: Variant, seed: int) -> Figures:
    """The last round's figures of held-out people."""
    scenario = read(variant.scenario)
    scenario = scenario.point({**variant.changes, "evaluate_every": scenario.rounds})
    return engine.run(scenario, seed, lambda _: None).rounds[-1].scores


def line(what: str, found: Sequence[Figures]) -> dict[str, Any]:
    """Mean ± standard deviation over the seeds."""
    spread = statistics.stdev if len(found) > 1 else lambda _: 0.0
    values = {name: [figures[name] for figures in found] for name in METRICS}
    return {"model": what} | {
        name: f"{statistics.mean(value):.3f} ± {spread(value):.3f}" for name, value in values.items()
    }


def main(words: Sequence[str] = ()) -> int:
    """Measure every line for every seed and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "docs" / "benchmarks")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    alone = [references(read(SCENARIO), seed) for seed in asked.seeds]
    found = {what: [one[what] for one in alone] for what in alone[0]}
    for variant in VARIANTS:
        found[variant.what] = [measured(variant, seed) for seed in asked.seeds]
        print(line(variant.what, found[variant.what]), flush=True)
    rows = [line(what, figures) for what, figures in found.items()]
    title = f"Recommendations on film ratings, mean ± standard deviation over {len(asked.seeds)} splits by person"
    write(asked.out, "recommendation", title, "python -m simulations.benchmarks.recommendation", rows)
    raw = asked.out / "recommendation.json"
    raw.write_text(json.dumps(json.loads(raw.read_text("utf-8")) | {"per_seed": found}, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
