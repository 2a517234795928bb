"""Rounds of federated averaging outside of the engine, whose updates travel in ways that no task can name.

Local training and codecs are those of nodes. `Way.pace` gives each party a reference, DIANA (Mishchenko et al. 2019,
"Distributed Learning with Compressed Gradient Differences", Algorithm 1): party i sends C(xᵢ - hᵢ), which moves hᵢ by
`pace` · C(xᵢ - hᵢ) at both ends. The coordinator keeps the mean h of all hᵢ alone, and reads the mean update as
h + mean C(xᵢ - hᵢ).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from clients.training import party_update
from federation import codecs
from federation.schema import Rows
from federation.terms import TrainingTerms
from federation.workload import Weights, Workload, flatten, trained_names, unflatten
from federation.workloads import find
from simulations import sources
from simulations.benchmarks.exchange.cases import PLAIN, Setting
from simulations.dealing import deal
from simulations.scenario import read_words

Vectors = npt.NDArray[np.float64]
Local = Callable[[Weights, Rows, int], torch.Tensor]
"""What a party's rows would change in the weights, (parameters,), drawn with a seed."""


@dataclass(frozen=True)
class Way:
    """How updates travel: as they are, or as urq of `bits` per value; `pace`: of references, 0 for none.

    `own_rotation`: each party turns by a rotation of its own, not all by the same. `drawn`: how many parties take part
    in a round, 0 for all.
    """

    name: str
    bits: float = 0.0
    pace: float = 0.0
    own_rotation: bool = True
    drawn: int = 0


@dataclass(frozen=True)
class Stage:
    """Who learns what, and who judges."""

    workload: Workload
    parties: Sequence[Rows]
    judges: Rows
    training: TrainingTerms
    rounds: int

    @property
    def sgd(self) -> Local:
        """The nodes' own local training."""
        return partial(_sgd, self)


@dataclass(frozen=True)
class References:
    """hᵢ of each party (parties, parameters), and of the coordinator their mean by rows; moved in place."""

    own: Vectors = field(repr=False)
    mean: Vectors = field(repr=False)

    @classmethod
    def zero(cls, parties: int, size: int) -> "References":
        """As all begin."""
        return cls(np.zeros((parties, size)), np.zeros(size))


def prepared(setting: Setting, fold: int, learning_rate: float) -> Stage:
    """The people of a setting of `exchange_learning`, dealt as there, without stores and contracts."""
    scenario = read_words(setting.scenario(PLAIN, fold))
    workload = find(scenario.workload)
    people = sources.people(scenario.data, workload, fold + 1)
    dealt = deal(scenario, people, fold + 1)
    parties = [people.rows(hand, 0.0) for hand in dealt.hands.values()]
    training = scenario.training.model_copy(update={"learning_rate": learning_rate})
    return Stage(workload, parties, people.rows(dealt.judges, 0.0), training, scenario.rounds)


def pace(bits: float, size: int) -> float:
    """1 / (1 + v) for a code whose error is v times the squared length: at this pace references settle soonest."""
    vector = np.random.default_rng(0).standard_normal(size)
    return 1 / (1 + _error(coded(Way("", bits), vector, 0, 0), vector))


def run(stage: Stage, local: Local, way: Way, seed: int) -> dict[str, list[float]]:
    """Of each round: accuracy, and errors over squared lengths: of the mean update, and in the mean of one party's."""
    told: dict[str, list[float]] = {"accuracy": [], "error of the mean": [], "error of one": []}
    for figures in _rounds(stage, local, way, seed):
        for name, value in figures.items():
            told[name].append(float(f"{value:.4g}"))
    return told


def _rounds(stage: Stage, local: Local, way: Way, seed: int) -> Iterator[Mapping[str, float]]:
    model, dice = stage.workload.initial(0), np.random.default_rng((seed, 3))
    names = trained_names(model, stage.workload.phases[0], ())
    size = sum(model[name].numel() for name in names)
    references = References.zero(len(stage.parties), size)
    for number in range(stage.rounds):
        draw = 1_000_003 * seed + 101 * number
        here = np.sort(dice.permutation(len(stage.parties))[: way.drawn or None])
        exact = np.stack([local(model, stage.parties[i], draw + int(i)).numpy() for i in here]).astype(np.float64)
        mean, came = transfer(exact, here, _shares(stage), references, (way, draw))
        moved = flatten(model, names) + mean
        model = unflatten(moved.astype(np.float32), model, names)
        of_all = _shares(stage, here) @ exact
        yield {
            "accuracy": stage.workload.summary(stage.workload.scores(model, stage.judges))[stage.workload.headline],
            "error of the mean": _error(mean, of_all),
            "error of one": float(np.mean([_error(*pair) for pair in zip(came, exact, strict=True)])),
        }


def transfer(
    exact: Vectors, here: npt.NDArray[np.int64], shares: Vectors, references: References, rest: tuple[Way, int]
) -> tuple[Vectors, Vectors]:
    """The mean update as the coordinator has it, and each one as it came; `exact`: of the parties `here`.

    `shares`: what every party weighs, 1 together. Of parties that are not drawn the references count all the same.
    """
    way, draw = rest
    own = references.own[here]
    differences = np.stack([coded(way, vector, draw, int(i)) for vector, i in zip(exact - own, here, strict=True)])
    present = shares[here]
    mean = references.mean + (present / present.sum()) @ differences
    references.own[here] += way.pace * differences
    references.mean[:] += way.pace * (present @ differences)
    return mean, own + differences


def coded(way: Way, vector: Vectors, draw: int, party: int) -> Vectors:
    """`vector` as it is decoded; the rotation is drawn from a public seed."""
    if not way.bits:
        return vector
    codec, seed = codecs.find("urq", way.bits), 2 * draw + (2_000_003 * (party + 1) if way.own_rotation else 1)
    sent = codec.encode(vector.astype(np.float32), seed)
    return codec.decode(sent, len(vector), seed).astype(np.float64)


def adamw(stage: Stage, weights: Weights, rows: Rows, seed: int) -> torch.Tensor:
    """What AdamW (Loshchilov & Hutter 2019) changes in `local_epochs`; moments begin at zero, for nodes keep none."""
    training, phase = stage.training, stage.workload.phases[0]
    order = torch.Generator().manual_seed(seed)
    names = sorted(trained_names(weights, phase, ()))
    moved = {name: weights[name].detach().clone().requires_grad_() for name in names}
    optimiser = torch.optim.AdamW(moved.values(), lr=training.learning_rate)
    for epoch in range(training.local_epochs):
        shuffled = torch.randperm(len(rows), generator=order)
        for first in range(0, len(rows), training.batch_rows):
            draw = (seed + 1_000_003 * (epoch * len(rows) + first)) % 2**31
            fields = rows.take(shuffled[first : first + training.batch_rows]).fields
            optimiser.zero_grad()
            phase.loss({**weights, **moved}, fields, draw).mean().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return torch.cat([(moved[name] - weights[name]).detach().flatten() for name in names])


def _sgd(stage: Stage, weights: Weights, rows: Rows, seed: int) -> torch.Tensor:
    phase = stage.workload.phases[0]
    return party_update(stage.workload, phase, weights, trained_names(weights, phase, ()), rows, stage.training, seed)


def _shares(stage: Stage, here: Any = slice(None)) -> Vectors:
    """What each party weighs by its rows, 1 together."""
    rows = np.array([len(rows) for rows in stage.parties], np.float64)[here]
    shares: Vectors = rows / rows.sum()
    return shares


def _error(found: Vectors, exact: Vectors) -> float:
    return float(np.square(found - exact).sum() / np.square(exact).sum())
