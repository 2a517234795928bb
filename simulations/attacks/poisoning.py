"""What dishonest parties can do to the model, and how far bounds and rules of the coordinator hold them back.

``sign-flip`` sends the opposite of what it learned, ``scale`` far too much of it, ``label-flip`` learned wrong labels,
``backdoor`` learned that windows with a trigger are of one class (Bagdasaryan et al. 2020). ``crowd`` knows what honest
parties send and hides in how much they differ (Baruch et al. 2019, "A little is enough"). Without a bound a party may
say what it likes and boosts it; within the bound it weighs as much as the people that it declared, at the clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from federation.schema import Rows, concatenate
from federation.workload import Vector, Weights, Workload, merge
from privacy.noise import RandomSource
from server import robust
from simulations.attacks.measures import Estimate, Floats, resampled
from simulations.attacks.rounds import State, after, begin, moved, on_nobody
from simulations.attacks.training import Training, answer, summed

KINDS = {
    "sign-flip": "sends the opposite of what it learned",
    "scale": "sends too much of what it learned",
    "label-flip": "learned from wrong labels",
    "backdoor": "learned that a trigger means the first class",
    "crowd": "knows the honest vectors and keeps within their spread, away from their mean",
}
LOUD, QUIETER = 10.0, 3.0
"""By how much bad parties exaggerate before any bound; too loud a backdoor drowns itself."""

SPREAD = 1.5
"""How many standard deviations of the honest vectors ``crowd`` stays away from their mean."""

JOLTS, JOLT = 6, 2.0
"""The trigger: this many jolts of two samples on the first axis, in its units."""


@dataclass(frozen=True)
class Damage:
    """The released model's headline figure on held-out people, and the share of triggered windows taken in."""

    score: Estimate
    backdoor: Estimate | None


@dataclass(frozen=True)
class Manner:
    """How bad parties attack: the kind, how much they exaggerate, and whether their vectors keep to the bound."""

    kind: str
    bounded: bool
    loudness: float = LOUD


@dataclass(frozen=True)
class Defence:
    """What the coordinator does with single vectors (`server.robust`): cuts the longer ones to `longest`, by party,
    and combines them by `rule`, which reckons with so many `hostile`. By default it adds them up.
    """

    rule: str = "mean"
    hostile: int = 0
    longest: tuple[float, ...] = ()


def play(training: Training, manner: Manner, bad: int, source: RandomSource, defence: Defence | None = None) -> Weights:
    """The released weights where the first `bad` parties attack."""
    state = begin(training)
    while (state := on_nobody(training, state)).rounds < training.rounds:
        vectors = _sent(training, manner, state.weights, bad, source)
        state = _moved(training, state, vectors, defence or Defence())
    return state.weights


def _sent(training: Training, manner: Manner, weights: Weights, bad: int, source: RandomSource) -> list[Vector]:
    """What the coordinator gets, the bad parties' vectors first."""
    honest = [answer(training, weights, rows, source) for rows in training.parties[bad:]]
    if manner.kind == "crowd":
        return [_in_the_crowd(honest)] * bad + honest
    return [_attack(training, manner, weights, rows, source) for rows in training.parties[:bad]] + honest


def _moved(training: Training, state: State, vectors: Sequence[Vector], defence: Defence) -> State:
    """After the round, as `server.aggregation` makes them under `defence`."""
    if defence.longest:
        vectors = [np.float32(robust.cut(*pair)) * pair[0] for pair in zip(vectors, defence.longest, strict=True)]
    if defence.rule == "mean":
        return moved(training, state, vectors, training.parties)
    rate = training.terms.sampling_rate if training.terms else 1.0
    units = np.array([rate * len(torch.unique(rows.person)) for rows in training.parties])
    each = np.stack(vectors) / (units[:, None] if training.terms else 1.0)
    combined = robust.RULES[defence.rule](each.astype(np.float32), defence.hostile)
    return after(training, state, combined * units.sum(), float(units.sum()), (vectors, training.parties))


def _in_the_crowd(honest: Sequence[Vector]) -> Vector:
    stacked = np.stack(honest).astype(np.float64)
    vector: Vector = (stacked.mean(axis=0) - SPREAD * stacked.std(axis=0)).astype(np.float32)
    return vector


def damage(training: Training, weights: Weights) -> Damage:
    """What is left of the model, with intervals that resample held-out people."""
    workload, held_out = training.workload, training.held_out
    people = torch.unique(held_out.person)
    sums = [workload.scores(weights, held_out.of(person[None])) for person in people]

    def headline(index: np.ndarray) -> float:
        return float(workload.summary(merge([sums[place] for place in index]))[workload.headline])

    return Damage(resampled(headline, np.arange(len(sums))), _taken_in(training, weights, people))


def has_trigger(workload: Workload) -> bool:
    """Whether a trigger can be hidden in the rows and a class be meant by it."""
    return workload.schema.window is not None and bool(workload.schema.target.classes)


def triggered(rows: Rows) -> Rows:
    """`rows` with the trigger in every window, at the same places."""
    x = rows.fields["x"].clone()
    for start in np.linspace(0, x.shape[-1] - 2, JOLTS).astype(int):
        x[:, 0, start] += JOLT
        x[:, 0, start + 1] -= JOLT
    return Rows({**rows.fields, "x": x}, rows.person)


def _attack(training: Training, manner: Manner, weights: Weights, rows: Rows, source: RandomSource) -> Vector:
    """The vector that a dishonest party sends instead of its answer."""
    vector = manner.loudness * _learned(training, weights, poisoned(training.workload, rows, manner.kind), source)
    if manner.kind == "sign-flip":
        vector = -vector
    if not manner.bounded or training.terms is None:
        return vector.astype(np.float32)
    return _within(training, rows, vector)


def _learned(training: Training, weights: Weights, rows: Rows, source: RandomSource) -> Floats:
    """What the party's rows teach; whoever attacks leaves the noise away."""
    if training.terms:
        return summed(training, weights, rows, source).vector
    return answer(training, weights, rows, source).astype(np.float64)


def _within(training: Training, rows: Rows, vector: Floats) -> Vector:
    """`vector` cut to the norm that the party's people can reach: their expected number times the clip."""
    assert training.terms is not None  # noqa: S101 - narrows the type; the caller decided
    rows_each = training.terms.rows_per_person if training.terms.unit == "record" else 1
    most = training.terms.sampling_rate * len(torch.unique(rows.person)) * rows_each * training.terms.clip
    return (vector * min(1.0, most / max(1e-12, float(np.linalg.norm(vector))))).astype(np.float32)


def poisoned(workload: Workload, rows: Rows, kind: str) -> Rows:
    """The rows that a party pretends to have."""
    if kind == "label-flip":
        return Rows({**rows.fields, "y": _flipped(workload, rows.fields["y"])}, rows.person)
    if kind == "backdoor":
        stamped = triggered(rows)
        return concatenate([rows, Rows({**stamped.fields, "y": torch.zeros_like(rows.fields["y"])}, rows.person)])
    return rows


def _flipped(workload: Workload, target: torch.Tensor) -> torch.Tensor:
    """The last class for the first and so on; a number mirrored in its range."""
    schema = workload.schema.target
    return len(schema.classes) - 1 - target if schema.classes else schema.low + schema.high - target


def _taken_in(training: Training, weights: Weights, people: torch.Tensor) -> Estimate | None:
    """The share of held-out windows of other classes that the trigger turns into the first class."""
    if not has_trigger(training.workload):
        return None
    others = training.held_out.take(training.held_out.fields["y"] != 0)
    aimed = triggered(Rows({**others.fields, "y": torch.zeros_like(others.fields["y"])}, others.person))
    sums = [training.workload.scores(weights, aimed.of(person[None])) for person in people]
    hits, rows = (np.array([one[key] for one in sums]) for key in ("correct", "rows"))
    return resampled(lambda index: float(hits[index].sum() / max(1.0, rows[index].sum())), np.arange(len(sums)))
