"""What parties send in a training on simulated people that is made again and again.

The steps are those of `clients.updates`: sample, train, bound, noise, or a plain party's update. What is left out is
what no attack reads: consent, ledgers, signatures, wire bytes.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from clients import algorithm_provider
from clients.training import party_update, person_updates, picked
from federation.schema import Rows, concatenate
from federation.terms import PersonTerms, TrainingTerms
from federation.workload import Phase, Vector, Weights, Workload, trained_names
from privacy.noise import RandomSource, add_noise
from privacy.person_level import Bounded, bound, combine, empty, sample
from simulations.attacks.measures import Floats


@dataclass(frozen=True)
class Training:
    """A training that is run again and again: everything but who takes part and the random numbers.

    `parties`: rows to train on, per party; a person's number is the same nowhere else. `held_out`: people who only
    judge. `phase` reads people; where rounds take turns, `order` names all phases as they come, over and over.
    `terms`: absent where nothing protects anybody. `shared_noise`: all parties' sums are noised once, as secure
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
    order: tuple[Phase, ...] = ()

    @property
    def charges(self) -> int:
        """How many of the rounds read people's rows."""
        return sum(self.turn(number).reads_people for number in range(self.rounds))

    def turn(self, rounds: int) -> Phase:
        """The phase of the round that comes after so many."""
        return self.order[rounds % len(self.order)] if self.order else self.phase

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


def first_weights(training: Training) -> dict[str, torch.Tensor]:
    """What the algorithm provider would start from."""
    return dict(_first_weights(training.workload, training.local))


@lru_cache(maxsize=4)
def _first_weights(workload: Workload, local: TrainingTerms) -> Weights:
    """The same in every one of many short runs; nobody writes into them."""
    return algorithm_provider.initial_weights(workload, local)


def answer(
    training: Training, weights: Weights, rows: Rows, source: RandomSource, correction: torch.Tensor | None = None
) -> Vector:
    """What leaves a party that holds `rows`, (parameters,); `correction`: SCAFFOLD's, for every slope."""
    if training.terms:
        return add_noise(summed(training, weights, rows, source), training.terms.noise_multiplier, source).vector
    workload, phase, names = training.workload, training.phase, training.names(weights)
    return party_update(workload, phase, weights, names, rows, training.local, _seed(source), correction).numpy()


def of_each(training: Training, weights: Weights, rows: Rows) -> Floats:
    """What each person would add, by someone who has their rows: clipped where the terms clip, (people, parameters).

    Which rows and which public noise the node really draws is not known to them.
    """
    units = rows if training.terms is None or training.terms.unit == "person" else _each_alone(rows)
    most, names = int(torch.unique(units.person, return_counts=True)[1].max()), training.names(weights)
    parts = person_updates(training.workload, training.phase, weights, names, units, training.local, most, 0)
    updates: Floats = np.concatenate([part.numpy() for _, part in parts]).astype(np.float64)
    if training.terms is None:
        return updates
    updates *= np.minimum(1, training.terms.clip / np.maximum(np.linalg.norm(updates, axis=1, keepdims=True), 1e-12))
    if training.terms.unit == "person":
        return updates
    owner = np.unique(rows.person.numpy(), return_inverse=True)[1]
    total = np.zeros((owner.max() + 1, updates.shape[1]))
    np.add.at(total, owner, updates)
    return total


def summed(training: Training, weights: Weights, rows: Rows, source: RandomSource) -> Bounded:
    """The clipped sum over a Poisson sample of the people in `rows`, before its noise; of their rows where each is a
    unit of its own.
    """
    terms, names = training.terms, training.names(weights)
    assert terms is not None  # noqa: S101 - narrows the type; the caller decided
    units = rows if terms.unit == "person" else _each_alone(_so_many(rows, terms.rows_per_person, source))
    drawn = sample(np.unique(units.person.numpy()), terms.sampling_rate, source)
    total = empty(sum(weights[name].numel() for name in names), terms.clip)
    if not len(drawn):
        return total
    chosen, k, seed = units.of(torch.from_numpy(drawn)), terms.rows_per_person, _seed(source)
    updates = person_updates(training.workload, training.phase, weights, names, chosen, training.local, k, seed)
    return combine([total, *(bound(part, terms.clip) for _, part in updates)])


def _so_many(rows: Rows, rows_per_person: int, source: RandomSource) -> Rows:
    """At most `rows_per_person` of each person's rows: as a group of so many they are charged."""
    _, index, real = picked(rows.person.numpy(), rows_per_person, _seed(source))
    return rows.take(torch.from_numpy(index[real]))


def _each_alone(rows: Rows) -> Rows:
    """Every row as if it were a person's only one."""
    return Rows(rows.fields, torch.arange(len(rows)))


def _seed(source: RandomSource) -> int:
    """A seed that the node would draw for itself."""
    return int.from_bytes(source.read(4), "big") >> 1
