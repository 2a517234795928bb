"""Trains and judges every case at every ε, and one case with one change at a time.

What stands beside shared noise runs over the protocol; what would take hours there is computed directly.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch

from clients.training import party_update
from federation import workloads
from federation.workload import Weights, flatten, trained_names, unflatten
from federation.workloads import exercise_recognition
from simulations import settings
from simulations.benchmarks.arithmetic import Task, federated, last, score, without_noise
from simulations.benchmarks.privacy_utility import cases, protocol
from simulations.benchmarks.privacy_utility.cases import Case, Terms
from simulations.benchmarks.privacy_utility.protocol import Played
from simulations.benchmarks.privacy_utility.width import width

Figures = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is measured; the quick one is for tests.

    `seeds`: most people of a case, and how often it is repeated; with more people scores hardly differ by seed.
    """

    people: tuple[int, ...] = (100, 400, 1600, 6400)
    judges: int = cases.JUDGES
    epsilons: tuple[float, ...] = (8.0, 4.0, 2.0, 1.0)
    changed_epsilons: tuple[float, ...] = (8.0, 2.0)
    seeds: tuple[tuple[int, int], ...] = ((100, 20), (400, 3), (10_000, 2))
    changed_seeds: int = 5
    widths: int = 10
    rounds: int | None = None
    changed_people: int = 100
    ten_people: int | None = 400
    whole_people: int | None = 400
    reference_people: tuple[int, ...] = (400, 1600)

    def repeats(self, people: int) -> int:
        """How often a case of so many people is repeated."""
        return next((times for most, times in self.seeds if people <= most), 1)


QUICK = Size(
    people=(20,),
    judges=10,
    epsilons=(8.0,),
    changed_epsilons=(8.0,),
    seeds=(),
    changed_seeds=1,
    widths=2,
    rounds=1,
    changed_people=20,
    ten_people=None,
    whole_people=None,
    reference_people=(20,),
)
TEN = (0.1,) * 10
PLACES = (("node", False), ("shared", True))

WHOLE_SEEDS, WHOLE_ROUNDS, REFERENCE_ROUNDS = 2, 12, 12
PRETRAINED_PEOPLE, PRETRAIN_EPOCHS = 60, 20


def plan(size: Size) -> dict[str, Callable[[], Figures]]:
    """Every part of the study by name; each prints what it finds, because the whole takes twenty minutes."""
    people = cache(cases.statistics_of_people)

    def watches(count: int, shares: Sequence[float] = cases.SHARES) -> Case:
        everybody, judges = people(count, cases.TRAINED), people(size.judges, cases.JUDGED)
        return shortened(cases.watches(everybody, judges, count, shares), size)

    def of_grid(case: Callable[[], Case], size: Size) -> Callable[[], Figures]:
        return lambda: grid(shortened(case(), size), size)

    parts = {f"motion-{count}": of_grid(partial(watches, count), size) for count in size.people}
    parts["runners"] = of_grid(cases.runners, size)
    if size.ten_people:
        parts["ten"] = of_grid(partial(watches, size.ten_people, TEN), replace(size, epsilons=size.changed_epsilons))
    if settings.has(settings.LIFTERS.name):
        parts["lifters"] = of_grid(cases.lifting, size)
    parts["direct"] = lambda: direct(watches(size.changed_people), size)
    parts["width"] = lambda: said(width(watches(size.changed_people), size.epsilons[-1], size.widths))
    parts["changes"] = lambda: changes(watches(size.changed_people), size)
    if size.whole_people:
        parts["whole"] = partial(whole, size.whole_people, size)
    return parts | {f"everything-{count}": partial(reference, count, size) for count in size.reference_people}


def shortened(case: Case, size: Size) -> Case:
    """`case` with fewer rounds where `size` wants that."""
    if size.rounds is None:
        return case
    return replace(case, private=replace(case.private, rounds=size.rounds), plain_rounds=size.rounds)


def grid(case: Case, size: Size) -> Figures:
    """One case: without privacy, then at every ε with noise at the nodes and with shared noise, over the protocol."""
    began = time.perf_counter()
    seeds = size.repeats(case.people)
    plain = drawn(case.without_privacy(), case, seeds)
    quiet = drawn(without_noise(case.at(size.epsilons[0], shared=False)), case, 1)[0]
    done = {place: {f"{at:g}": played(case, at, shared, seeds) for at in size.epsilons} for place, shared in PLACES}
    return said(
        {
            "name": case.name,
            "headline": case.workload.headline,
            "people": case.people,
            "parties": [len(torch.unique(rows.person)) for rows in case.parties],
            "judges": len(torch.unique(case.judges.person)),
            "delta": case.delta,
            "terms": terms_of(case),
            "surplus": case.shares.surplus,
            "sigma": {f"{at:g}": case.noise(at, shared=False) for at in size.epsilons},
            "sigma_shared": {f"{at:g}": case.noise(at, shared=True) for at in size.epsilons},
            "start": score(case.at(size.epsilons[0], shared=False), case.first, case.judges),
            "plain": plain,
            "quiet": quiet,
            **{place: {at: [one.score for one in found] for at, found in by.items()} for place, by in done.items()},
            "charged": {place: {at: found[0].epsilon for at, found in by.items()} for place, by in done.items()},
            "bytes_up": {place: found[0].bytes_up for place, by in done.items() for found in [*by.values()][:1]},
            "seconds": time.perf_counter() - began,
        }
    )


def direct(case: Case, size: Size) -> Figures:
    """The same case without a protocol: Gaussian noise of the same variance, added to sums in one process."""
    noised = {
        place: {f"{at:g}": drawn(case.at(at, shared), case, size.repeats(case.people)) for at in size.epsilons}
        for place, shared in PLACES
    }
    return said({"people": case.people, **noised})


def changes(base: Case, size: Size) -> Figures:
    """One change at a time: what each of them buys."""
    started, found = pretrained(), []
    for name, case, shared in variants(base, started):
        scores = {
            f"{at:g}": [one.score for one in played(case, at, True, size.changed_seeds)]
            if shared
            else drawn(case.at(at, False), case, size.changed_seeds)
            for at in size.changed_epsilons
        }
        quiet = drawn(without_noise(case.at(size.changed_epsilons[0], False)), case, 1)[0]
        found.append(said({"name": name, "parameters": case.parameters, "quiet": quiet, "scores": scores}))
    start = score(base.without_privacy(), started, base.judges)
    return {"people": base.people, "delta": base.delta, "pretrained_start": start, "variants": found}


def variants(base: Case, started: Weights) -> Iterator[tuple[str, Case, bool]]:
    """The base, then the base with one thing changed, then with several."""

    def with_terms(**changed: Any) -> Case:
        return replace(base, private=replace(base.private, **changed))

    def with_training(**changed: Any) -> Case:
        return with_terms(training=base.private.training.model_copy(update=changed))

    def from_pretrained(case: Case) -> Case:
        return replace(case, first=started)

    rounds = max(1, base.private.rounds // 3)
    step = base.private.training.server_learning_rate / 2
    gentle = with_terms(rounds=rounds, training=base.private.training.model_copy(update={"server_learning_rate": step}))
    yield "base", base, False
    yield "shared noise", base, True
    yield "a quarter of the people per round", with_terms(sampling_rate=0.25), False
    yield "a quarter of the people per round, shared noise", with_terms(sampling_rate=0.25), True
    yield "1 local step instead of 4", with_training(local_steps=1), False
    yield "12 local steps instead of 4", with_training(local_steps=12), False
    yield "FedAvg instead of FedAdam", with_training(server_optimizer="sgd", server_learning_rate=4.0), False
    yield "a third of the rounds", with_terms(rounds=rounds), False
    yield "a third of the rounds, half the server's step", gentle, False
    yield "pre-trained start", from_pretrained(base), False
    yield "pre-trained, a third, half", from_pretrained(gentle), False
    yield "pre-trained, a third, half, shared noise", from_pretrained(gentle), True


def whole(count: int, size: Size) -> Figures:
    """The model with its convolutions, which needs whole windows: few against many parameters."""
    base, found = with_convolutions(count, size), []
    for trains in (("head.",), ("head.", "cnn.out."), ()):
        training = cases.HEAD.training.model_copy(update={"trains": trains, "step_rows": 2})
        case = replace(base, private=replace(cases.HEAD, rounds=WHOLE_ROUNDS, training=training))
        scores = {
            f"{epsilon:g}": drawn(case.at(epsilon, shared=False), case, WHOLE_SEEDS)
            for epsilon in size.changed_epsilons
        }
        quiet = drawn(without_noise(case.at(8.0, shared=False)), case, 1)[0]
        found.append(said({"trains": trains, "parameters": case.parameters, "quiet": quiet, "scores": scores}))
    return {"people": count, "rounds": WHOLE_ROUNDS, "trained": found}


def reference(count: int, size: Size) -> Figures:
    """What the whole model learns from `count` people without privacy: the best that this workload offers them."""
    case = with_convolutions(count, size)
    return said({"people": count, "plain": drawn(case.without_privacy(), case, 1)[0]})


def with_convolutions(count: int, size: Size) -> Case:
    """`count` synthetic people with whole windows."""
    rows = cases.people_with_watches(count, cases.TRAINED)
    judges = cases.people_with_watches(size.judges, cases.JUDGED)
    first = exercise_recognition.initial(0)
    return Case(
        name="whole",
        workload=workloads.find("exercise_recognition"),
        parties=cases.dealt(rows, count),
        judges=judges,
        private=cases.HEAD,
        plain_rounds=REFERENCE_ROUNDS,
        plain=cases.WHOLE_PLAIN,
        plain_first=first,
        first=first,
        public=judges.take(torch.zeros(0, dtype=torch.int64)),
    )


def pretrained() -> Weights:
    """A head trained on the algorithm provider's synthetic people, who wear another watch."""
    workload, first = cases.head_alone(), exercise_recognition.initial(0)
    names = trained_names(first, workload.phases[0])
    rows = cases.statistics_of(cases.other_watches(PRETRAINED_PEOPLE))
    terms = cases.HEAD_PLAIN.model_copy(update={"local_epochs": PRETRAIN_EPOCHS})
    update = party_update(workload, workload.phases[0], first, names, rows, terms, cases.PRETRAINED)
    return unflatten(flatten(first, names) + update.numpy(), first, names)


def played(case: Case, epsilon: float, shared: bool, seeds: int) -> list[Played]:
    """What the case brings as a task of a federation, once per seed."""
    return [protocol.play(case, epsilon, shared, seed) for seed in range(1, seeds + 1)]


def drawn(task: Task, case: Case, seeds: int) -> list[float]:
    """The headline on the people who judge, once per seed."""
    return [score(task, last(federated(task, case.parties, seed)), case.judges) for seed in range(1, seeds + 1)]


def terms_of(case: Case) -> Figures:
    """The terms that are the same at every ε."""
    terms: Terms = case.private
    return {
        "rounds": terms.rounds,
        "sampling_rate": terms.sampling_rate,
        "clip": terms.clip,
        "rows_per_person": terms.rows_per_person,
        "training": terms.training.model_dump(mode="json", exclude_defaults=True),
    }


def said(figures: Figures) -> Figures:
    """`figures`, after printing them in short."""
    print("  ".join(f"{key} {_short(value)}" for key, value in figures.items() if key != "terms"), flush=True)
    return figures


def _short(value: object) -> object:
    if isinstance(value, list) and value and isinstance(value[0], float):
        return f"{statistics.mean(value):.3f}"
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    return f"{value:.3f}" if isinstance(value, float) else value
