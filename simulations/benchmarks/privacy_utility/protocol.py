"""Cases of the study as tasks of a federation: contracts, ledgers, messages, masks, shares of noise, as in earnest."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from federation import workloads
from federation.schema import Rows, concatenate
from federation.workload import Weights
from server.coordinator import run_of
from server.rounds import first_or_latest
from simulations.benchmarks.privacy_utility.cases import COLLUDING, Case
from simulations.dealing import Dealt
from simulations.engine import Stage, play_inline
from simulations.founding import found
from simulations.outcome import RoundOutcome
from simulations.population import Given, Indices
from simulations.scenario import Scenario, read_words
from simulations.scratch import scratch
from simulations.standing_in import standing_in

LANE_BITS = 24
"""Room for the sum of all people who are trained on here, whatever they agree upon."""

NOBODY = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Played:
    """What a task brought: the headline on the people who judge, ε as charged, bytes up per party and round."""

    score: float
    epsilon: float
    bytes_up: float


def play(case: Case, epsilon: float, shared: bool, seed: int) -> Played:
    """Run `case` as a task at `epsilon`, under masks with shared noise, or with each node's own."""
    models, last = trained(case, epsilon, shared, seed)
    scores = case.workload.summary(case.workload.scores(models[-1], case.judges))
    return Played(scores[case.workload.headline], last.epsilon, last.bytes_up / last.answered)


def trained(case: Case, epsilon: float, shared: bool, seed: int) -> tuple[list[Weights], RoundOutcome]:
    """The weights after each round, and what the last round brought. The parties see nobody who judges."""
    people, hands = dealt(case.parties)
    scenario = scenario_of(case, epsilon, shared)
    models: list[Weights] = []
    with scratch() as path, _workload(case):
        federation, task = found(path, scenario, Dealt(NOBODY, hands), people, seed)
        stage = Stage(scenario, seed, federation, task, people, Dealt(NOBODY, hands))
        coordinator = federation.coordinator
        run = run_of(coordinator.store.task(task).manifest())

        def watch(_: RoundOutcome) -> None:
            models.append(first_or_latest(coordinator, federation.link, run).weights)

        outcome = play_inline(stage, path, watch)
    return models, outcome.rounds[-1]


def scenario_of(case: Case, epsilon: float, shared: bool) -> Scenario:
    """The case at `epsilon` as a scenario without a sweep; all parties have to answer in every round."""
    terms, count = case.private, len(case.parties)
    exchange: dict[str, Any] = {"min_parties": count}
    if shared:
        exchange |= {"secure": True, "up": "lane", "up_bits": LANE_BITS}
    return read_words(
        {
            "format": "paceline-scenario-1",
            "name": "privacy-utility",
            "title": case.name,
            "workload": case.workload.name,
            "rounds": terms.rounds,
            "evaluate_every": terms.rounds,
            "parties": {"count": count},
            "privacy": {
                "unit": "person",
                "epsilon": epsilon,
                "delta": case.delta,
                "sampling_rate": terms.sampling_rate,
                "clip": terms.clip,
                "rows_per_person": terms.rows_per_person,
                "max_attempts": terms.rounds,
                **({"noise": "shared", "colluding": COLLUDING} if shared else {}),
            },
            "training": terms.training.model_dump(mode="json", exclude_defaults=True),
            "exchange": exchange,
        }
    )


def dealt(parties: Sequence[Rows]) -> tuple[Given, dict[str, Indices]]:
    """Everybody who trains, numbered from 0, and who of them is whose."""
    numbered, hands, first = [], {}, 0
    for place, rows in enumerate(parties, 1):
        names, owner = torch.unique(rows.person, return_inverse=True)
        numbered.append(Rows(rows.fields, owner + first))
        hands[f"party-{place}"] = np.arange(first, first + len(names))
        first += len(names)
    return Given(concatenate(numbered)), hands


def _workload(case: Case) -> AbstractContextManager[None]:
    """The case's own form of an installed workload, first weights included, where nodes find the installed one.

    Nodes train installed workloads only, and `exercise_recognition` computes the same statistics of a window in every
    step of every round. A case on statistics that were computed once differs in nothing that travels.
    """
    if case.workload is workloads.find(case.workload.name):
        return nullcontext()
    return standing_in(replace(case.workload, initial=lambda seed: dict(case.first)))
