"""Was this person's data in the training? Asked of the updates that a coordinator sees, and of the released model.

Every run trains on a random half of the people. The other runs show how a person's score is distributed with and
without that person: a likelihood ratio per guess (LiRA, Carlini et al. 2022, §V; persons instead of rows).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from federation.schema import Rows
from federation.workload import Vector, Weights
from simulations.attacks.measures import Estimate, Flags, Floats, Groups, area, found_at, resampled
from simulations.attacks.rounds import Seen, play
from simulations.attacks.training import Training, of_each
from simulations.seeded import SeededSource

FALSE_POSITIVES = 0.01


@dataclass(frozen=True)
class Guesses:
    """A likelihood ratio for each (run, person), flattened; whether the person took part; the person's number."""

    scores: Floats
    present: Flags
    person: Groups

    def area(self) -> Estimate:
        """Area under the ROC curve; 0.5 is a coin."""
        return resampled(lambda index: area(self.scores[index], self.present[index]), self.person)

    def found(self, false_positives: float = FALSE_POSITIVES) -> Estimate:
        """True positive rate at a low false positive rate: who can be named with confidence."""
        return resampled(lambda index: found_at(self.scores[index], self.present[index], false_positives), self.person)


def guess(
    training: Training, known: Rows, runs: int, seed: int, advance: Callable[[float], None]
) -> dict[str, Guesses]:
    """Guesses from ``updates`` and from the ``release``; `known`: what the attacker has of each person.

    `advance` is told after each run.
    """
    people, source = training.people(), torch.Generator().manual_seed(seed)
    present = torch.rand(runs, len(people), generator=source) < 0.5
    marks = []
    for run in range(runs):
        seen, release = play(training, people[~present[run]], SeededSource(seed * 1_000_003 + run))
        marks.append((_in_updates(training, seen, known), _in_release(training, release, known)))
        advance(1)
    member = present.numpy()
    return {
        name: _ratios(np.array([mark[kind] for mark in marks]), member, people.numpy())
        for kind, name in enumerate(("updates", "release"))
    }


def _in_updates(training: Training, seen: tuple[Seen, ...], known: Rows) -> Floats:
    """How much of each person's own update is in their crowd's vectors, summed over rounds, (people,)."""
    people, total = training.people(), np.zeros(len(training.people()))
    for number, rows in enumerate(training.crowds()):
        index = torch.isin(people, rows.person).numpy()
        candidates = known.of(rows.person)
        for one in seen:
            total[index] += _parts(training, of_each(training, one.weights, candidates), one.vectors[number])
    return total


def _parts(training: Training, updates: Floats, vector: Vector) -> Floats:
    """Least squares: which shares of the `updates` add up to `vector`, (people,); its ridge is the noise of the terms.

    The prior variance of a share is that of a coin.
    """
    inner = updates @ updates.T
    terms = training.terms
    ridge = 4 * (terms.noise_multiplier * terms.clip) ** 2 if terms else 1e-3 * inner.trace() / len(inner)
    found = np.linalg.solve(inner + ridge * np.eye(len(inner)), updates @ vector.astype(np.float64))
    return np.asarray(found, dtype=np.float64)


def _in_release(training: Training, release: Weights, known: Rows) -> Floats:
    """How well the released model fits what is known of each person: minus the mean loss, (people,)."""
    with torch.no_grad():
        losses = training.phase.loss(release, known.fields, 0).double().numpy()
    owner = np.unique(known.person.numpy(), return_inverse=True)[1]
    return -np.bincount(owner, losses) / np.bincount(owner)


def _ratios(marks: Floats, present: Flags, people: Groups) -> Guesses:
    """Log likelihood ratios of Gaussians fitted to a person's marks in all other runs; `marks` is (runs, people)."""
    ratios = np.zeros_like(marks)
    for run in range(len(marks)):
        others = np.delete(np.arange(len(marks)), run)
        middle, spread = zip(*(_fit(marks[others], present[others] == flag) for flag in (True, False)), strict=True)
        far = [np.square((marks[run] - middle[side]) / spread[side]) / 2 + np.log(spread[side]) for side in (0, 1)]
        ratios[run] = far[1] - far[0]
    person = np.broadcast_to(people, marks.shape)
    return Guesses(ratios.ravel(), present.ravel(), person.ravel())


def _fit(marks: Floats, chosen: Flags) -> tuple[Floats, Floats]:
    """Mean per person over the chosen runs, (people,), with a spread that all people share (few runs: Carlini, §VI)."""
    count = np.maximum(chosen.sum(axis=0), 1)
    middle: Floats = np.asarray(np.where(chosen, marks, 0.0).sum(axis=0) / count, dtype=np.float64)
    spread = np.sqrt(np.where(chosen, np.square(marks - middle), 0).sum() / max(1, chosen.sum() - len(count)))
    return middle, np.full(marks.shape[1], max(spread, 1e-12))
