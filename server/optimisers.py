"""The server's step: how the mean update moves the model, with what the server remembers between rounds.

What it remembers is computed from sums that had their noise before they left the nodes. Post-processing costs no
privacy (Dwork & Roth 2014, Prop. 2.1), so neither keeping the moments nor moving the model by them is charged.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from federation.terms import TrainingTerms
from federation.workload import Vector

BLOCK = 2**15
"""Parameters at a time: what is made of them on the way stays in the processor's cache."""

Vector64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Running means of the mean update and of its square, coordinate by coordinate, (parameters,)."""

    first: Vector64 = field(repr=False)
    second: Vector64 = field(repr=False)


ByWeight = Mapping[str, Moments]
"""Moments by the name of the weight; a weight that no round has moved has none, and FedAvg keeps none at all."""


def move(
    model: Vector, total: Vector64, divisor: float, moments: Moments | None, terms: TrainingTerms
) -> Moments | None:
    """Move `model` in place by the mean update ``total / divisor``; the moments to remember.

    Block after block: without moments, nothing as long as the model is made on the way.
    """
    after = moments and Moments(np.empty_like(moments.first), np.empty_like(moments.second))
    for start in range(0, len(model), BLOCK):
        part = slice(start, start + BLOCK)
        before = moments and Moments(moments.first[part], moments.second[part])
        stepped, new = step(model[part].astype(np.float64), total[part] / divisor, before, terms)
        model[part] = stepped
        if after and new:
            after.first[part], after.second[part] = new.first, new.second
    return after


def step(
    model: Vector64, update: Vector64, moments: Moments | None, terms: TrainingTerms
) -> tuple[Vector64, Moments | None]:
    """The model after the mean `update`, with the moments to remember (Reddi et al. 2021, Algorithm 2).

    FedAvg (``sgd``) has no moments. There is no bias correction: the paper's algorithm has none.
    """
    if moments is None:
        return model + terms.server_learning_rate * update, None
    first = terms.server_beta1 * moments.first + (1 - terms.server_beta1) * update
    second = SQUARES[terms.server_optimizer](moments.second, update**2, terms.server_beta2)
    moved = model + terms.server_learning_rate * first / (np.sqrt(second) + terms.server_tau)
    return moved, Moments(first, second)


def adam(second: Vector64, square: Vector64, beta: float) -> Vector64:
    """FedAdam: forgets old squares at a fixed rate."""
    return beta * second + (1 - beta) * square


def yogi(second: Vector64, square: Vector64, beta: float) -> Vector64:
    """FedYogi: moves towards the new square by an amount that depends on that square alone, so it forgets slowly."""
    return second - (1 - beta) * square * np.sign(second - square)


SQUARES: Mapping[str, Callable[[Vector64, Vector64, float], Vector64]] = {"adam": adam, "yogi": yogi}


def recall(kept: ByWeight, sizes: Mapping[str, int], terms: TrainingTerms) -> Moments | None:
    """The moments of the weights in `sizes` (name to parameters), in that order; None under FedAvg.

    A weight without moments starts at m = 0 and v = τ², the smallest that the paper's convergence proof admits.
    """
    if terms.server_optimizer == "sgd":
        return None
    start = {
        name: Moments(np.zeros(size), np.full(size, terms.server_tau**2))
        for name, size in sizes.items()
        if name not in kept
    }
    known = [kept[name] if name in kept else start[name] for name in sizes]
    return Moments(np.concatenate([item.first for item in known]), np.concatenate([item.second for item in known]))


def remember(kept: ByWeight, sizes: Mapping[str, int], moments: Moments | None) -> ByWeight:
    """`kept` with new moments of the weights in `sizes`; those of all others stay."""
    if moments is None:
        return kept
    places = np.cumsum(list(sizes.values()))[:-1]
    parts = zip(np.split(moments.first, places), np.split(moments.second, places), strict=True)
    return {**kept, **{name: Moments(*part) for name, part in zip(sizes, parts, strict=True)}}
