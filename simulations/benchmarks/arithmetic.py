"""What a federation computes in each round, without the paperwork: the nodes' own functions, no stores, no network.

Studies that train hundreds of models use it. Noise comes from a seeded source, so nothing here may claim privacy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from clients.training import party_update, person_updates
from federation.schema import Rows, concatenate
from federation.terms import TrainingTerms
from federation.workload import Phase, Weights, Workload, flatten, trained_names, unflatten
from privacy.noise import add_noise
from privacy.person_level import Bounded, bound, combine, empty, sample
from server import optimisers
from simulations.seeded import SeededSource

NEXT_TO_NOTHING = 1e-6
"""A noise multiplier that changes no digit that is reported."""


@dataclass(frozen=True)
class Privacy:
    """The numbers of a task's [privacy] table that the arithmetic needs.

    `shared`: noise is added once to the sum of all parties, not by each of them. That needs secure aggregation to be
    real: here it is assumed.
    """

    sampling_rate: float
    noise_multiplier: float
    clip: float
    rows_per_person: int
    epsilon: float
    delta: float
    shared: bool = False


@dataclass(frozen=True)
class Task:
    """What is trained and how; `first` are the weights of round 0, `public` the algorithm provider's rows."""

    name: str
    workload: Workload
    rounds: int
    training: TrainingTerms
    privacy: Privacy | None
    first: Weights
    public: Rows

    @property
    def phase(self) -> Phase:
        """The one phase that is trained."""
        return self.workload.phases[0]


def federated(task: Task, parties: Sequence[Rows], seed: int) -> Iterator[Weights]:
    """The model after each round; every party's noise comes from its own seeded stream."""
    model = task.first
    names = trained_names(model, task.phase, task.training.trains)
    sources = [SeededSource(1000 * seed + number) for number in range(len(parties))]
    moments = optimisers.recall({}, {name: model[name].numel() for name in names}, task.training)
    for number in range(task.rounds):
        draw = 1_000_003 * seed + 101 * number
        if task.privacy is None:
            update = _plain_round(task, model, names, [*parties, task.public], draw)
        else:
            update = _private_round(task, model, names, parties, (sources, draw))
        start = flatten(model, names).astype(np.float64)
        moved, moments = optimisers.step(start, update.double().numpy(), moments, task.training)
        model = unflatten(moved, model, names)
        yield model


def _plain_round(task: Task, model: Weights, names: Sequence[str], owners: Sequence[Rows], draw: int) -> torch.Tensor:
    """The mean update, weighted by rows; the last owner is the algorithm provider with its public weight."""
    weights = [*(float(len(rows)) for rows in owners[:-1]), task.training.public_weight]
    total = torch.zeros(sum(model[name].numel() for name in names))
    for place, (rows, weight) in enumerate(zip(owners, weights, strict=True)):
        if weight:
            total += weight * party_update(task.workload, task.phase, model, names, rows, task.training, draw + place)
    return total / sum(weights)


def _private_round(
    task: Task,
    model: Weights,
    names: Sequence[str],
    parties: Sequence[Rows],
    rest: tuple[Sequence[SeededSource], int],
) -> torch.Tensor:
    """The noised sum over the public divisor, as nodes and a coordinator make it."""
    sources, draw = rest
    terms, training = task.privacy, task.training
    assert terms is not None  # noqa: S101 - narrows the type
    sums = [
        _bounded(task, model, names, rows, (source, draw + place))
        for place, (rows, source) in enumerate(zip(parties, sources, strict=True))
    ]
    noised = [combine(sums)] if terms.shared else sums
    total = torch.zeros(sum(model[name].numel() for name in names), dtype=torch.float64)
    for one, source in zip(noised, sources, strict=False):
        total += torch.from_numpy(add_noise(one, terms.noise_multiplier, source).vector.copy())
    if training.public_weight:
        seed = draw + len(parties)
        update = party_update(task.workload, task.phase, model, names, task.public, training, seed)
        total += update * min(1.0, training.public_weight * terms.clip / float(update.norm()))
    people = sum(len(torch.unique(rows.person)) for rows in parties)
    return total / (terms.sampling_rate * people + training.public_weight)


def _bounded(task: Task, model: Weights, names: Sequence[str], rows: Rows, rest: tuple[SeededSource, int]) -> Bounded:
    """One party's sum of clipped updates over a Poisson sample of its people."""
    (source, seed), terms = rest, task.privacy
    assert terms is not None  # noqa: S101 - narrows the type
    if terms.sampling_rate < 1:
        rows = rows.of(torch.from_numpy(sample(np.unique(rows.person.numpy()), terms.sampling_rate, source)))
    parts = [empty(sum(model[name].numel() for name in names), terms.clip)]
    k, training = terms.rows_per_person, task.training
    for _, updates in person_updates(task.workload, task.phase, model, names, rows, training, k, seed):
        parts.append(bound(updates, terms.clip))
    return combine(parts)


def central(task: Task, parties: Sequence[Rows], seed: int) -> Weights:
    """The same model, first weights and number of epochs, with all rows in one place."""
    model = task.first
    names = trained_names(model, task.phase, task.training.trains)
    epochs = task.rounds * task.training.local_epochs
    terms = task.training.model_copy(update={"local_epochs": epochs})
    update = party_update(task.workload, task.phase, model, names, concatenate([*parties]), terms, seed)
    return unflatten((torch.from_numpy(flatten(model, names)) + update).numpy(), model, names)


def without_noise(task: Task) -> Task:
    """The same arithmetic with next to no noise: what clipping and few parameters alone cost."""
    assert task.privacy is not None  # noqa: S101 - narrows the type
    return replace(task, privacy=replace(task.privacy, noise_multiplier=NEXT_TO_NOTHING))


def score(task: Task, model: Weights, rows: Rows) -> float:
    """The workload's headline on `rows`."""
    return task.workload.summary(task.workload.scores(model, rows))[task.workload.headline]


def last(models: Iterator[Weights]) -> Weights:
    """The model after the last round."""
    *_, model = models
    return model
