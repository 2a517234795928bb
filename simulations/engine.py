"""Runs a scenario once: the rounds of `server.rounds`, answered by the gates of `clients.rounds`."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from clients.node import Node
from clients.rounds import answer
from federation import workloads
from federation.link import Link
from federation.manifest import Manifest
from federation.terms import PersonTerms
from federation.workload import flatten
from privacy import accounting, person_level
from server.coordinator import Model, Run, run_of, vector_digest
from server.rounds import first_or_latest, run_round
from server.traffic import by_round
from simulations import sources
from simulations.dealing import Dealt, deal
from simulations.foresight import require_memory
from simulations.founding import found
from simulations.garbage import settled
from simulations.loopback import Loopback, question_in
from simulations.outcome import Outcome, RoundOutcome
from simulations.parties import Federation
from simulations.population import HandRows, Indices, People
from simulations.scenario import Scenario
from simulations.scratch import scratch
from simulations.seeded import STAMP, SeededSource
from simulations.weather import Weather

MOST_PEOPLE_SCORED = 200
"""Of a party, after the last round."""

Watch = Callable[[RoundOutcome], None]


@dataclass(frozen=True)
class Stage:
    """A founded federation with everything that judging it needs."""

    scenario: Scenario
    seed: int
    federation: Federation
    task: str
    people: People
    dealt: Dealt


def import_libraries(scenario: Scenario) -> None:
    """Import Opacus where the first round would, whose time it would be counted to."""
    terms = scenario.privacy
    if scenario.engine == "inline" and terms.get("unit", "none") != "none" and terms.get("noise", "node") == "node":
        person_level.bound(torch.zeros(0, 1), 1.0)


def run(scenario: Scenario, seed: int, watch: Watch) -> Outcome:
    """One run of a scenario without a sweep; `watch` sees every round once it is committed.

    `UsageError` before anything is done if it would not fit into memory. Equal scenarios and seeds give equal weights,
    bit by bit, on one machine with one number of threads.
    """
    began, played = time.perf_counter(), _engine(scenario)
    require_memory(scenario)
    with scratch(scenario.ray.folder) as path:
        outcome = played(prepare(path, scenario, seed), path, watch)
    return replace(outcome, seconds=time.perf_counter() - began)


def _engine(scenario: Scenario) -> Callable[[Stage, Path, Watch], Outcome]:
    """What answers for the parties: this process, or the workers of Flower's simulation engine."""
    if scenario.engine == "inline":
        return play_inline
    from simulations import ray_cluster

    ray_cluster.require()
    from simulations import ray_engine  # its libraries are optional, and take their time

    return ray_engine.play


def play_inline(stage: Stage, path: Path, watch: Watch) -> Outcome:
    """All rounds of a stage; every party answers in this process."""
    del path
    seed, rounds = stage.seed, stage.scenario.rounds
    link = Loopback(stage.federation.nodes, lambda node, blob: seated_answer(node, blob, seed, rounds))
    return play(stage, link, watch)


def prepare(path: Path, scenario: Scenario, seed: int) -> Stage:
    """People, parties and their contract, in folder `path`."""
    people = sources.people(scenario.data, workloads.find(scenario.workload), seed)
    dealt = deal(scenario, people, seed)
    federation, task = found(path, scenario, dealt, people, seed)
    return Stage(scenario, seed, federation, task, people, dealt)


def seated_answer(node: Node, blob: bytes, seed: int, rounds: int) -> bytes:
    """The answer of a node whose randomness and rows are those of this question, in whatever process it is asked."""
    question = question_in(blob, node.pinned.coordinator_key)
    source = SeededSource.of(seed, node.pinned.party, question.nonce)
    rows = replace(node.rows, progress=question.round / rounds) if isinstance(node.rows, HandRows) else node.rows
    return answer(replace(node, source=source, rows=rows), blob)


def play(stage: Stage, inner: Link, watch: Watch) -> Outcome:
    """All rounds of the stage's task over `inner`, and what they brought."""
    coordinator, scenario = stage.federation.coordinator, stage.scenario
    run = run_of(coordinator.store.task(stage.task).manifest())
    link = Weather(inner, stage.federation.nodes, scenario, stage.seed, run)
    model = first_or_latest(coordinator, link, run)
    rounds: list[RoundOutcome] = []
    with settled():
        while model.round < scenario.rounds:
            before, began = (link.turn, link.nodes_s), time.perf_counter()
            model = run_round(coordinator, link, run, model)
            ended, nodes_s = time.perf_counter(), link.nodes_s - before[1]
            scores = _scores(stage, run, model) if _due(scenario, model.round) else {}
            now = time.perf_counter()
            row = coordinator.store.last_round(run.digest)
            took = by_round(run.manifest, coordinator.store.traffic(run.digest, row.round))[row.round]
            rounds.append(
                RoundOutcome(
                    round=row.round,
                    seconds=now - began,
                    bytes_up=took.up,
                    bytes_down=took.down,
                    fp32_up=took.fp32_up,
                    fp32_down=took.fp32_down,
                    epsilon=_epsilon(run.manifest, link.charged),
                    answered=len(row.parties),
                    attempts=link.turn - before[0],
                    scores=scores,
                    timing={"nodes": nodes_s, "coordinator": ended - began - nodes_s, "evaluate": now - ended},
                )
            )
            watch(rounds[-1])
    return _whole(stage, run, model, tuple(rounds))


def _due(scenario: Scenario, round_number: int) -> bool:
    return round_number % scenario.evaluate_every == 0 or round_number == scenario.rounds


def _scores(stage: Stage, run: Run, model: Model) -> dict[str, float]:
    """The workload's figures on the people who judge; none where nobody does."""
    if not len(stage.dealt.judges):
        return {}
    rows = stage.people.rows(stage.dealt.judges, model.round / stage.scenario.rounds)
    return run.workload.summary(run.workload.scores(model.weights, rows))


def _epsilon(manifest: Manifest, charged: int) -> float:
    """What the rounds so far cost a person, by RDP; 0 without differential privacy."""
    if not isinstance(manifest.privacy, PersonTerms) or not charged:
        return 0.0
    return accounting.epsilon(manifest.privacy.person_cost(), charged, manifest.privacy.delta)


def _whole(stage: Stage, run: Run, model: Model, rounds: tuple[RoundOutcome, ...]) -> Outcome:
    return Outcome(
        scenario=stage.scenario.model_dump(mode="json"),
        point={},
        seed=stage.seed,
        headline=run.workload.headline,
        higher_is_better=run.workload.higher_is_better,
        rounds=rounds,
        parties={name: _summary(stage, run, model, hand) for name, hand in stage.dealt.hands.items()},
        people=_per_person(stage, run, model),
        weights_sha256=vector_digest(flatten(model.weights, sorted(model.weights))),
        stamp=STAMP,
        seconds=0.0,
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _summary(stage: Stage, run: Run, model: Model, hand: Indices) -> dict[str, float]:
    """The final model's figures on a party's own people, and how many there are."""
    some = stage.people.rows(hand[:MOST_PEOPLE_SCORED], 1.0)
    return {"people": float(len(hand)), **run.workload.summary(run.workload.scores(model.weights, some))}


def _per_person(stage: Stage, run: Run, model: Model) -> tuple[float, ...]:
    """The final model's headline for each person who judges."""
    rows = stage.people.rows(stage.dealt.judges, 1.0)
    workload, owners = run.workload, torch.unique(rows.person)
    scores = (workload.scores(model.weights, rows.of(owner[None])) for owner in owners)
    return tuple(workload.summary(one)[workload.headline] for one in scores)
