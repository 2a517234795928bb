"""What a coordinator sees of a training on simulated people, round by round, in many short runs.

The steps are those of `clients.updates`: sample, train, bound, noise, or a plain party's update. What is left out is
what no attack reads: consent, ledgers, signatures, wire bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from clients import algorithm_provider
from clients.sendable import public
from clients.training import party_update, person_updates
from federation.schema import Rows, concatenate
from federation.terms import PersonTerms, TrainingTerms
from federation.workload import Phase, Vector, Weights, Workload, flatten, trained_names, unflatten
from privacy.noise import RandomSource, add_noise
from privacy.person_level import Bounded, bound, combine, empty, sample
from simulations.attacks.measures import Floats


@dataclass(frozen=True)
class Training:
    """A training that is run again and again: everything but who takes part and the random numbers.

    `parties`: rows to train on, per party; a person's number is the same nowhere else. `held_out`: people who only
    judge. `terms`: absent where nothing protects anybody. `shared_noise`: all parties' sums are noised once, as secure
    aggregation allows; else each party noises its own.
    """

    workload: Workload
    phase: Phase
    local: TrainingTerms
    terms: PersonTerms | None
    rounds: int
    parties: tuple[Rows, ...]
    held_out: Rows
    shared_noise: bool = False

    def unprotected(self) -> "Training":
        """The same training without differential privacy: the positive control."""
        return replace(self, terms=None, shared_noise=False)

    def people(self) -> torch.Tensor:
        """Numbers of all who may be trained on, ascending."""
        numbers: torch.Tensor = torch.unique(torch.cat([rows.person for rows in self.parties]))
        return numbers

    def crowds(self) -> tuple[Rows, ...]:
        """The groups of people whose updates are seen as one vector: a party's, or everybody's under shared noise."""
        return (concatenate(list(self.parties)),) if self.shared_noise else self.parties

    def names(self, weights: Weights) -> tuple[str, ...]:
        """What the training moves."""
        return trained_names(weights, self.phase, self.local.trains)


@dataclass(frozen=True)
class Seen:
    """One round as the coordinator sees it: the weights that it sent, and one vector per crowd."""

    weights: Weights
    vectors: tuple[Vector, ...]


def first_weights(training: Training) -> dict[str, torch.Tensor]:
    """What the algorithm provider would start from."""
    return dict(_first_weights(training.workload, training.local))


@lru_cache(maxsize=4)
def _first_weights(workload: Workload, local: TrainingTerms) -> Weights:
    """The same in every one of many short runs; nobody writes into them."""
    return algorithm_provider.initial_weights(workload, local)


def play(training: Training, absent: torch.Tensor, source: RandomSource) -> tuple[tuple[Seen, ...], Weights]:
    """All rounds with everybody but `absent` (their numbers); also the released weights."""
    weights: Weights = first_weights(training)
    crowds = [rows.take(~torch.isin(rows.person, absent)) for rows in training.crowds()]
    seen = []
    for _ in range(training.rounds):
        vectors = tuple(answer(training, weights, rows, source) for rows in crowds)
        seen.append(Seen(weights, vectors))
        weights = moved(training, weights, vectors, [len(rows) for rows in crowds])
    return tuple(seen), weights


def answer(training: Training, weights: Weights, rows: Rows, source: RandomSource) -> Vector:
    """What leaves a party that holds `rows`, (parameters,)."""
    if training.terms:
        return add_noise(summed(training, weights, rows, source), training.terms.noise_multiplier, source).vector
    names = training.names(weights)
    return party_update(training.workload, training.phase, weights, names, rows, training.local, _seed(source)).numpy()


def of_each(training: Training, weights: Weights, rows: Rows) -> Floats:
    """What each person would add, by someone who has their rows: clipped where the terms clip, (people, parameters).

    Which rows and which public noise the node really draws is not known to them.
    """
    most, names = int(torch.unique(rows.person, return_counts=True)[1].max()), training.names(weights)
    parts = person_updates(training.workload, training.phase, weights, names, rows, training.local, most, 0)
    updates: Floats = np.concatenate([part.numpy() for _, part in parts]).astype(np.float64)
    if training.terms:
        updates *= np.minimum(
            1, training.terms.clip / np.maximum(np.linalg.norm(updates, axis=1, keepdims=True), 1e-12)
        )
    return updates


def summed(training: Training, weights: Weights, rows: Rows, source: RandomSource) -> Bounded:
    """The clipped sum over a Poisson sample of the people in `rows`, before its noise."""
    terms, names = training.terms, training.names(weights)
    assert terms is not None  # noqa: S101 - narrows the type; the caller decided
    drawn = sample(np.unique(rows.person.numpy()), terms.sampling_rate, source)
    total = empty(sum(weights[name].numel() for name in names), terms.clip)
    if not len(drawn):
        return total
    chosen, k, seed = rows.of(torch.from_numpy(drawn)), terms.rows_per_person, _seed(source)
    updates = person_updates(training.workload, training.phase, weights, names, chosen, training.local, k, seed)
    return combine([total, *(bound(part, terms.clip) for _, part in updates)])


def moved(
    training: Training, weights: Weights, vectors: Sequence[Vector], rows: Sequence[float]
) -> dict[str, torch.Tensor]:
    """The next round's weights, as `server.aggregation.advance` makes them from one vector per crowd."""
    names, public_weight = training.names(weights), training.local.public_weight
    shares = [1.0] * len(rows) if training.terms else list(rows)
    people = training.terms.sampling_rate * len(training.people()) if training.terms else sum(shares)
    total = np.sum([share * vector.astype(float) for share, vector in zip(shares, vectors, strict=True)], axis=0)
    if public_weight:
        total = total + _public(training, weights, names)
    step = total * training.local.server_learning_rate / (people + public_weight)
    return unflatten((flatten(weights, names) + step).astype(np.float32), weights, names)


def _public(training: Training, weights: Weights, names: Sequence[str]) -> Vector:
    """What the algorithm provider adds from synthetic rows, times its weight."""
    local, terms = training.local, training.terms
    rows = algorithm_provider.public_rows(training.workload, local)
    update = party_update(training.workload, training.phase, weights, names, rows, local, local.seed)
    if terms:
        return public(update, local.public_weight, terms.clip).vector
    vector: Vector = (local.public_weight * update.numpy()).astype(np.float32)
    return vector


def _seed(source: RandomSource) -> int:
    """A seed that the node would draw for itself."""
    return int.from_bytes(source.read(4), "big") >> 1
