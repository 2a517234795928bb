"""Reads a person's window off the one update that it made.

Three questions, each about one person with one window and nobody else in the sum, the worst case. From an update on
weights that a hostile coordinator chose: the window itself (`imprint`). From one on honest weights: the class and what
the linear layer saw, in closed form (Phong et al. 2018, §3; Zhao et al. 2020), and which of many known windows it was,
by matching gradients (Zhu et al. 2019; Geiping et al. 2020) with candidates instead of a search.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from federation.errors import UsageError
from federation.schema import Rows
from federation.terms import PersonTerms
from federation.workload import Vector, Weights, unflatten
from federation.workloads import exercise_recognition
from privacy.noise import RandomSource
from simulations.attacks import imprint
from simulations.attacks.measures import Estimate, Floats, mean, share
from simulations.attacks.training import Training, answer, first_weights, of_each

CANDIDATES = 64
WORKLOAD = exercise_recognition.WORKLOAD.name


@dataclass(frozen=True)
class Reading:
    """What was read of one person, and how near it came.

    `correlation` and `error` (squared, over the window's variance) compare the axes over time, their means removed.
    """

    truth: Floats
    read: Floats
    correlation: float
    error: float
    label: bool
    statistics: float
    named: bool


@dataclass(frozen=True)
class Readings:
    """All targets under one protection, and the best that a window of somebody else would have scored."""

    targets: tuple[Reading, ...]

    def figures(self) -> dict[str, Estimate]:
        """Means and shares over the targets, with their intervals."""
        count = len(self.targets)
        return {
            "window correlation": mean(np.array([target.correlation for target in self.targets])),
            "window error": mean(np.array([target.error for target in self.targets])),
            "class read": share(sum(target.label for target in self.targets), count),
            "posture correlation": mean(np.array([target.statistics for target in self.targets])),
            "window named": share(sum(target.named for target in self.targets), count),
        }


def require(training: Training) -> None:
    """Raise `UsageError` unless this attack knows how to read the training's model."""
    if training.workload.name != WORKLOAD or training.local.trains:
        raise UsageError(
            f"the scenario trains {', '.join(training.local.trains) or 'all'} of {training.workload.name}; inversion "
            f"reads windows off updates of the whole of {WORKLOAD}. Name a scenario with that, without `trains`."
        )


def read(
    training: Training, targets: Rows, others: Rows, source: RandomSource, advance: Callable[[float], None]
) -> Readings:
    """Read every row of `targets`, each alone in its sum; `others`: windows of other people, who are candidates too."""
    require(training)
    honest, hostile = first_weights(training), imprint.weights(1)
    found = []
    for number in range(len(targets)):
        row = targets.take(torch.tensor([number]))
        candidates = Rows(
            {name: torch.cat([row.fields[name], others.fields[name][: CANDIDATES - 1]]) for name in row.fields},
            torch.arange(CANDIDATES),
        )
        found.append(_reading(_alone(training), row, (honest, hostile), candidates, source))
        advance(1)
    return Readings(tuple(found))


def without_reading(targets: Rows, others: Rows) -> dict[str, float]:
    """The same figures for someone who read nothing: the best of `CANDIDATES` other windows for each target; chance."""
    pool = others.fields["x"][:CANDIDATES].numpy()
    best = [
        max((likeness(truth, other), -misfit(truth, other)) for other in pool) for truth in targets.fields["x"].numpy()
    ]
    seen, unseen = (exercise_recognition.statistics(rows.fields["x"]).double().numpy() for rows in (targets, others))
    return {
        "window correlation": float(np.mean([one[0] for one in best])),
        "window error": float(np.mean([-one[1] for one in best])),
        "class read": 1 / len(exercise_recognition.CLASSES),
        "posture correlation": float(np.mean(np.corrcoef(seen, unseen)[: len(seen), len(seen) :])),
        "window named": 1 / CANDIDATES,
    }


def likeness(truth: Floats, read: Floats) -> float:
    """Correlation of two windows, (axes, samples), over all axes at the scale that the model sees."""
    one, two = _centred(truth), _centred(read)
    return float((one * two).sum() / max(1e-12, np.sqrt(np.square(one).sum() * np.square(two).sum())))


def misfit(truth: Floats, read: Floats) -> float:
    """Squared error over the variance of the true window (NMSE): 0 is perfect, 1 is a straight line."""
    return float(np.square(_centred(truth) - _centred(read)).sum() / max(1e-12, np.square(_centred(truth)).sum()))


def with_noise(training: Training, noise_multiplier: float) -> Training:
    """The training with this σ, whatever ε that is: to see where reading ends. 0.1 is the least that terms allow."""
    assert training.terms is not None  # noqa: S101 - narrows the type; the caller decided
    changed = training.terms.model_copy(update={"noise_multiplier": noise_multiplier})
    return replace(training, terms=changed)


def _alone(training: Training) -> Training:
    """The person is drawn for certain, and takes one local step, as their window is all that they have."""
    terms = training.terms
    drawn = None if terms is None else PersonTerms.model_construct(**dict(terms) | {"sampling_rate": 1.0})
    local = training.local.model_copy(update={"local_steps": 1, "local_epochs": 1})
    return replace(training, terms=drawn, local=local)


def _reading(
    training: Training, row: Rows, sent: tuple[Weights, Weights], candidates: Rows, source: RandomSource
) -> Reading:
    honest, hostile = sent
    names = training.names(honest)
    truth, label = row.fields["x"][0].double().numpy(), int(row.fields["y"][0])
    window = imprint.read(answer(training, hostile, row, source), hostile, names)
    update = answer(training, honest, row, source)
    guessed, posture = _linear(update, honest, names)
    seen = exercise_recognition.statistics(row.fields["x"])[0].double().numpy()
    return Reading(
        truth,
        window,
        likeness(truth, window),
        misfit(truth, window),
        guessed == label,
        float(np.corrcoef(seen, posture)[0, 1]),
        _nearest(training, honest, update, candidates) == 0,
    )


def _linear(update: Vector, weights: Weights, names: tuple[str, ...]) -> tuple[int, Floats]:
    """The class, and what the linear layer saw, (15,): its slope over that of its bias, where that is steepest.

    The slope of a bias is its class's probability, less 1 for the true class: an update raises that one alone.
    """
    moved = unflatten(update.copy(), weights, names)
    bias, slope = moved["head.bias"].double().numpy(), moved["head.weight"].double().numpy()
    steepest = int(np.argmax(np.abs(bias)))
    return int(np.argmax(bias)), np.asarray(slope[:, steepest] / (bias[steepest] or 1.0), dtype=np.float64)


def _nearest(training: Training, weights: Weights, update: Vector, candidates: Rows) -> int:
    """Which candidate's own update, clipped where the terms clip, lies nearest: the likeliest under Gaussian noise."""
    return int(np.argmin(np.linalg.norm(of_each(training, weights, candidates) - update, axis=1)))


def _centred(window: Floats) -> Floats:
    """At the model's scale, each axis around its mean."""
    scaled: Floats = np.asarray(window, dtype=np.float64) / np.array(exercise_recognition.SCALE)[:, None]
    centred: Floats = scaled - scaled.mean(axis=1, keepdims=True)
    return centred
