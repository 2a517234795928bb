"""Judges of generated motion: what a classifier is worth that learned on windows which nobody wore (TSTR).

Esteban et al. 2017, §4.1: train on synthetic, test on real. Beside it stand TRTR (train on real), the workload's own
invented rows, and chance.
"""

from collections.abc import Callable

import torch

from clients.algorithm_provider import initial_weights, public_rows
from clients.training import party_update
from federation.phases import turns
from federation.schema import Rows
from federation.terms import TrainingTerms
from federation.workload import Weights, flatten, trained_names, unflatten
from federation.workloads import exercise_recognition as exercises
from federation.workloads import motion_gan

Judge = Callable[[Rows, Rows], float]
CLASSIFIER = TrainingTerms(learning_rate=0.1, local_epochs=1, batch_rows=32, seed=1)
STEPS = 300
"""Of the convolutional judge, whatever it is shown: about seven passes over 1,400 windows."""

PER_CLASS, SEED = 200, 99


def central(rows: Rows, rounds: int, training: TrainingTerms) -> Weights:
    """The GAN with everybody's rows in one place and the task's own turns: what a federation is measured against."""
    workload = motion_gan.WORKLOAD
    weights, public = initial_weights(workload, training), public_rows(workload, training)
    order = turns(workload, training.phases)
    for number in range(rounds):
        phase = order[number % len(order)]
        names = trained_names(weights, phase, training.trains)
        shown = rows if phase.reads_people else public
        update = party_update(workload, phase, weights, names, shown, training, 7919 * training.seed + number)
        weights = unflatten(flatten(weights, names) + update.numpy(), weights, names)
    return weights


def generated(weights: Weights) -> Rows:
    """What judges are shown of a generator."""
    return motion_gan.sample(weights, PER_CLASS, SEED)


def ridge(shown: Rows, people: Rows) -> float:
    """Accuracy on `people` of the ridge classifier of `motion_gan.scores`, fitted to `shown`."""
    return motion_gan.named_rightly(shown, people) / len(people)


def network(shown: Rows, people: Rows) -> float:
    """Accuracy on `people` of the whole classifier of `exercise_recognition`, trained on `shown`."""
    return _taught(shown, people, ("cnn.", "head."))


def convolutions(shown: Rows, people: Rows) -> float:
    """The same of its convolutions alone, which share no feature with the discriminator."""
    return _taught(shown, people, ("cnn.",))


def _taught(shown: Rows, people: Rows, trains: tuple[str, ...]) -> float:
    """Accuracy on `people` of the weights `trains` of `exercise_recognition`, after `STEPS` batches of `shown`."""
    workload = exercises.WORKLOAD
    weights: Weights = workload.initial(CLASSIFIER.seed)
    phase, size = workload.phases[0], CLASSIFIER.batch_rows
    names = trained_names(weights, phase, trains)
    shuffle = torch.Generator().manual_seed(CLASSIFIER.seed)
    for step in range(0, STEPS, 50):
        some = shown.take(torch.randint(len(shown), (50 * size,), generator=shuffle))
        update = party_update(workload, phase, weights, names, some, CLASSIFIER, step)
        weights = unflatten(flatten(weights, names) + update.numpy(), weights, names)
    sums = workload.scores(weights, people)
    return sums["correct"] / sums["rows"]


JUDGES: dict[str, Judge] = {"ridge": ridge, "network": network, "convolutions": convolutions}
"""Who judges, by the name that tables use."""
