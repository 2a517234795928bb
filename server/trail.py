"""The view that a task's nodes share after a round, with the latest differences that led there.

Whoever missed rounds is sent the differences of those rounds, as long as they are shorter than the view itself.
"""

from dataclasses import dataclass

from federation.messages import MOST_DIFFERENCES
from federation.shared_view import View, difference, moved
from federation.terms import ExchangeTerms
from federation.workload import Vector

VALUE_BYTES = 4


@dataclass(frozen=True)
class Difference:
    """One round's coded difference, from the view whose digest is `base`."""

    base: str
    coded: bytes


@dataclass(frozen=True)
class Trail:
    """The view, and differences of consecutive rounds, the earliest first; the last one led to the view."""

    view: View
    differences: tuple[Difference, ...] = ()

    def since(self, rounds: int | None) -> tuple[Difference, ...] | None:
        """What brings a view that is `rounds` rounds old up to this one; None where only the whole view does."""
        if rounds is None or not 0 <= rounds <= len(self.differences):
            return None
        return self.differences[len(self.differences) - rounds :]


def grown(trail: Trail, model: Vector, terms: ExchangeTerms) -> Trail:
    """The trail after a round that led to `model`."""
    coded = difference(trail.view, model, terms)
    differences = (*trail.differences, Difference(trail.view.digest, coded))[-MOST_DIFFERENCES:]
    while len(differences) > 1 and sum(len(step.coded) for step in differences) > VALUE_BYTES * len(model):
        differences = differences[1:]
    return Trail(moved(trail.view, coded, terms), differences)
