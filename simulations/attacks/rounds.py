"""How the rounds of an attacked training follow one another, as the server makes them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from clients import algorithm_provider
from clients.sendable import public
from clients.training import party_steps, party_update
from federation.schema import Rows
from federation.workload import Phase, Vector, Weights, flatten, trained_names, unflatten
from privacy.noise import RandomSource
from server import optimisers
from server.optimisers import ByWeight
from simulations.attacks.measures import Floats
from simulations.attacks.training import Training, answer, first_weights


@dataclass(frozen=True)
class Variates:
    """SCAFFOLD's, all of which the coordinator knows, because it adds up every change: c, and the cᵢ of each crowd,
    the algorithm provider's last.
    """

    server: Floats
    own: tuple[Floats, ...]


@dataclass(frozen=True)
class State:
    """Where a training stands after `rounds`: the weights, and what the coordinator remembers beside them."""

    weights: Weights
    rounds: int = 0
    moments: ByWeight = field(default_factory=dict)
    variates: Variates | None = None

    def correction(self, crowd: int) -> torch.Tensor | None:
        """What is added to every slope of a crowd, under SCAFFOLD."""
        if self.variates is None:
            return None
        return torch.from_numpy((self.variates.server - self.variates.own[crowd]).astype(np.float32))


@dataclass(frozen=True)
class Seen:
    """One round on people as the coordinator sees it: the weights that it sent, and one vector per crowd.

    Under SCAFFOLD the second vector of a party says nothing new: its change of variate is computed from the first one
    and from c. What the correction did to the first one is taken out, as anybody can who knows c and cᵢ.
    """

    weights: Weights
    vectors: tuple[Vector, ...]


def play(training: Training, absent: torch.Tensor, source: RandomSource) -> tuple[tuple[Seen, ...], Weights]:
    """All rounds with everybody but `absent` (their numbers); also the released weights."""
    crowds = [rows.take(~torch.isin(rows.person, absent)) for rows in training.crowds()]
    state, seen = begin(training), []
    while (state := on_nobody(training, state)).rounds < training.rounds:
        vectors = answers(training, state, crowds, source)
        seen.append(Seen(state.weights, _uncorrected(training, state, crowds, vectors)))
        state = moved(training, state, vectors, crowds)
    return tuple(seen), state.weights


def begin(training: Training) -> State:
    """Before the first round."""
    weights = first_weights(training)
    if not training.local.scaffold:
        return State(weights)
    nothing = np.zeros(sum(weights[name].numel() for name in training.names(weights)))
    return State(weights, variates=Variates(nothing, (nothing,) * (len(training.crowds()) + 1)))


def on_nobody(training: Training, state: State) -> State:
    """After the rounds that now come and that read nobody's rows: an algorithm provider makes them."""
    while state.rounds < training.rounds and not (phase := training.turn(state.rounds)).reads_people:
        names = trained_names(state.weights, phase, training.local.trains)
        state = _stepped(training, state, names, _of_provider(training, state, phase, names), 1.0)
    return state


def answers(training: Training, state: State, crowds: Sequence[Rows], source: RandomSource) -> tuple[Vector, ...]:
    """What each of the `crowds` sends in a round."""
    return tuple(
        answer(training, state.weights, rows, source, state.correction(number)) for number, rows in enumerate(crowds)
    )


def moved(training: Training, state: State, vectors: Sequence[Vector], crowds: Sequence[Rows]) -> State:
    """After a round on people in which `crowds` sent `vectors`: the mean, as the task's server optimiser takes it."""
    shares = [1.0] * len(crowds) if training.terms else [_share(training, rows) for rows in crowds]
    total = np.sum([share * vector.astype(float) for share, vector in zip(shares, vectors, strict=True)], axis=0)
    people = training.terms.sampling_rate * len(training.people()) if training.terms else sum(shares)
    return after(training, state, total, people, (vectors, crowds))


def after(
    training: Training,
    state: State,
    total: Floats,
    divisor: float,
    sent: tuple[Sequence[Vector], Sequence[Rows]],
) -> State:
    """After a round on people whose vectors add up to `total`, which stands for `divisor` people or rows; `sent`: the
    vectors, and whose they are.
    """
    names, public_weight = training.names(state.weights), training.local.public_weight
    update = np.zeros(len(total))
    if public_weight:
        update = _of_provider(training, state, training.phase, names)
        total = total + _bounded(training, update)
    state = replace(state, variates=_changed(training, state, sent, update))
    return _stepped(training, state, names, total, divisor + public_weight)


def _share(training: Training, rows: Rows) -> float:
    """A party's weight without privacy terms: its rows, under SCAFFOLD its people (`server.scaffold`)."""
    return float(len(torch.unique(rows.person)) if training.local.scaffold else len(rows))


def _stepped(training: Training, state: State, names: Sequence[str], total: Floats, divisor: float) -> State:
    sizes = {name: state.weights[name].numel() for name in names}
    before = optimisers.recall(state.moments, sizes, training.local)
    model = flatten(state.weights, names).copy()
    kept = optimisers.remember(
        state.moments, sizes, optimisers.move(model, total.astype(np.float64), divisor, before, training.local)
    )
    return replace(state, weights=unflatten(model, state.weights, names), rounds=state.rounds + 1, moments=kept)


def _of_provider(training: Training, state: State, phase: Phase, names: Sequence[str]) -> Floats:
    """What the algorithm provider learns from synthetic rows."""
    local = training.local
    rows = algorithm_provider.public_rows(training.workload, local)
    seed, correction = local.seed, state.correction(-1)
    update = party_update(training.workload, phase, state.weights, names, rows, local, seed, correction)
    return np.asarray(update.numpy(), dtype=np.float64)


def _bounded(training: Training, update: Floats) -> Floats:
    """What of it counts beside people's updates."""
    local, terms = training.local, training.terms
    if not terms:
        return local.public_weight * update
    bounded = public(torch.from_numpy(update.astype(np.float32)), local.public_weight, terms.clip)
    return np.asarray(bounded.vector, dtype=np.float64)


def _changed(
    training: Training, state: State, sent: tuple[Sequence[Vector], Sequence[Rows]], provided: Floats
) -> Variates | None:
    """The variates after the round: cᵢ moves by - c - update / (Kη), and c by the mean of that over all."""
    if state.variates is None:
        return None
    vectors, crowds = sent
    server, own = state.variates.server, state.variates.own
    rows = [*crowds, algorithm_provider.public_rows(training.workload, training.local)]
    weights = [*(_share(training, one) for one in crowds), training.local.public_weight]
    updates: list[Floats] = [*(vector.astype(np.float64) for vector in vectors), provided]
    changes = [
        -server - update / _path(training, one) if weight else np.zeros(len(server))
        for update, one, weight in zip(updates, rows, weights, strict=True)
    ]
    mean = np.sum([weight * change for weight, change in zip(weights, changes, strict=True)], axis=0) / sum(weights)
    return Variates(server + mean, tuple(before + change for before, change in zip(own, changes, strict=True)))


def _uncorrected(
    training: Training, state: State, crowds: Sequence[Rows], vectors: tuple[Vector, ...]
) -> tuple[Vector, ...]:
    corrections = [state.correction(number) for number in range(len(crowds))]
    return tuple(
        vector if correction is None else (vector + _path(training, rows) * correction.numpy()).astype(np.float32)
        for vector, rows, correction in zip(vectors, crowds, corrections, strict=True)
    )


def _path(training: Training, rows: Rows) -> float:
    """Kη: how far a slope of one would carry a party."""
    return max(1, party_steps(len(rows), training.local)) * training.local.learning_rate
