"""Tells from a party's update what its people are like as a whole.

The attacker simulates parties with and without a trait, learns to tell their updates apart (Melis et al. 2019, §6;
Ganju et al. 2018) and asks about parties of people whom it never saw. Differential privacy of persons promises nothing
here: a trait of a whole party is not changed by one person, and the larger the party, the smaller the noise beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from federation.errors import UsageError
from federation.schema import Rows
from federation.workload import Weights, Workload
from privacy.noise import RandomSource
from simulations.attacks.measures import Estimate, Flags, Floats, Groups, area, resampled
from simulations.attacks.training import Training, answer

WITH, WITHOUT = 0.4, 0.1
"""Share of the rows that belong to the chosen class, in a party with the trait and in one without."""

TURNED = 0.5
"""Share of people who wear the device the other way round, in a party with that trait; without it nobody does."""

TRAITS = {
    "class-share": f"the first class makes up {WITH:.0%} of the rows instead of {WITHOUT:.0%}",
    "turned": f"{TURNED:.0%} of the people wear the device turned by 90° instead of nobody",
}
RIDGES = tuple(10.0**power for power in range(-4, 5))


@dataclass(frozen=True)
class Verdicts:
    """How much each party looks like one with the trait, and whether it has it."""

    scores: Floats
    present: Flags

    def area(self) -> Estimate:
        """Area under the ROC curve; 0.5 is a coin."""
        return resampled(lambda index: area(self.scores[index], self.present[index]), np.arange(len(self.scores)))

    def right(self) -> int:
        """How many parties are told right by the sign."""
        return int(((self.scores > 0) == self.present).sum())


@dataclass(frozen=True)
class Question:
    """Which trait, in parties of how many `people`; simulated ones are drawn from `pool`, real ones from `victims`."""

    trait: str
    people: int
    rows_per_person: int
    pool: Rows
    victims: Rows


def require(trait: str, workload: Workload) -> None:
    """Raise `UsageError` unless rows of `workload` can have the trait."""
    if trait not in TRAITS:
        raise UsageError(f"trait {trait!r} is unknown; expected {' or '.join(TRAITS)}.")
    if trait == "turned" and (workload.schema.window is None or len(workload.schema.columns) != 6):
        raise UsageError(f"rows of {workload.name} have no device that could be turned; take --trait class-share.")


def judge(
    training: Training,
    sent: list[Weights],
    question: Question,
    parties: int,
    source: RandomSource,
    advance: Callable[[float], None],
) -> Verdicts:
    """Learn from `parties` simulated parties, judge as many real ones, by their updates from the weights `sent`."""
    dice = np.random.default_rng(int.from_bytes(source.read(4), "big"))
    seen = []
    for pool in (question.pool, question.victims):
        present = dice.permutation(np.arange(parties) % 2 == 0)
        seen.append(
            (
                np.stack(
                    [_update(training, sent, _party(question, pool, flag, dice), source, advance) for flag in present]
                ),
                present,
            )
        )
    (known, labels), (asked, truth) = seen
    middle, spread = known.mean(axis=0), known.std(axis=0) + 1e-12
    return Verdicts(_told((known - middle) / spread, labels, (asked - middle) / spread), truth)


def _update(
    training: Training, sent: list[Weights], rows: Rows, source: RandomSource, advance: Callable[[float], None]
) -> Floats:
    """The sum of what a party sends in all rounds, (parameters,)."""
    total = np.sum([answer(training, weights, rows, source).astype(np.float64) for weights in sent], axis=0)
    advance(1)
    return np.asarray(total)


def _party(question: Question, pool: Rows, present: bool, dice: np.random.Generator) -> Rows:
    """People drawn from `pool`, some twice, each with `rows_per_person` rows; with the trait if it is `present`."""
    everybody = torch.unique(pool.person).numpy()
    drawn = dice.choice(everybody, question.people, replace=question.people > len(everybody))
    owner, places = pool.person.numpy(), []
    first = _first_class(pool.fields["y"])
    for person in drawn:
        own = np.flatnonzero(owner == person)
        if question.trait == "class-share":
            own = _with_share(own, first[own], WITH if present else WITHOUT, dice)
        places.append(dice.choice(own, question.rows_per_person, replace=len(own) < question.rows_per_person))
    rows = pool.take(torch.from_numpy(np.concatenate(places)))
    numbers = torch.arange(len(drawn)).repeat_interleave(question.rows_per_person)
    fields = dict(rows.fields)
    if question.trait == "turned" and present:
        fields["x"] = _turned(
            fields["x"], torch.isin(numbers, torch.from_numpy(np.flatnonzero(dice.random(len(drawn)) < TURNED)))
        )
    return Rows(fields, numbers)


def _first_class(target: torch.Tensor) -> Flags:
    """Rows of class 0; where the target is a number, those in its upper seventh."""
    if target.is_floating_point():
        return (target > torch.quantile(target, 6 / 7)).numpy()
    return (target == 0).numpy()


def _with_share(own: Groups, first: Flags, share: float, dice: np.random.Generator) -> Groups:
    """As many rows as in `own`, `share` of them (on average) from the chosen class; all alike where it is missing."""
    if first.all() or not first.any():
        return own
    wanted = dice.random(len(own)) < share
    return np.where(wanted, dice.choice(own[first], len(own)), dice.choice(own[~first], len(own)))


def _turned(x: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Windows with the device turned by 90° about the axis out of its dial: x becomes y, y becomes -x."""
    around = torch.stack([x[:, 1], -x[:, 0], x[:, 2], x[:, 4], -x[:, 3], x[:, 5]], dim=1)
    return torch.where(which[:, None, None], around, x)


def _told(known: Floats, labels: Flags, asked: Floats) -> Floats:
    """Ridge regression on the labels, with the ridge that leaves the least error when each party is left out."""
    goal, size = np.where(labels, 1.0, -1.0), known.shape[1]
    inner = known @ known.T / size
    values, vectors = np.linalg.eigh(inner)

    def fit(ridge: float) -> tuple[float, Floats]:
        inverse = (vectors / (np.maximum(values, 0) + ridge)) @ vectors.T
        weights = inverse @ goal
        return float(np.square(weights / np.diag(inverse)).mean()), weights

    _, best = min((fit(ridge) for ridge in RIDGES), key=lambda found: found[0])
    return np.asarray(asked @ known.T / size @ best)
