"""What a workload is: model, row schema, loss and scores as functions of values, one file each.

A classifier, a regression, a GAN and a recommender are the same kind of thing: named float32 weights, a few
*phases* that each train some of them with a loss per row, scores that merge as sums. A GAN has two phases of which
only one reads people's rows; what a recommender knows of a person is derived inside its loss and forgotten
(docs/adr/0007-embeddings-stay-home.md).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from federation.errors import WorkloadError
from federation.schema import Rows, RowSchema

Weights = Mapping[str, torch.Tensor]
"""Every float32 tensor of a model by name; there are no buffers outside it."""

Vector = npt.NDArray[np.float32]
"""Flat weights, (parameters,), in the sorted order of their names."""

Loss = Callable[[Weights, Mapping[str, torch.Tensor], int], torch.Tensor]
"""What `Phase` calls a loss: of weights, fields and a seed."""

Scores = Mapping[str, float]
"""Sums over rows that add up across people and parties, such as {"rows": 120, "correct": 97}."""


@dataclass(frozen=True)
class Phase:
    """One kind of training step.

    `loss(weights, fields, seed)` gives one loss per row, float32 (rows,), from `fields` alone: the value for a row
    depends on that row only (`seed` is for phases that draw noise, such as a generator's input; public randomness).
    It must work under ``torch.func.vmap`` and ``grad``: no in-place writes, no data-dependent shapes.
    `trains`: prefixes of the weights' names that this phase may move.
    `together`, if given, is `loss` for many people in one pass, written by hand where that beats ``vmap``: every weight
    (people, …) and every field (people, rows, …) -> (people, rows). Nothing of one person may reach another: a privacy
    guarantee rests on it, and ``paceline workload check`` looks for it.
    """

    name: str
    reads_people: bool
    trains: tuple[str, ...]
    loss: Loss
    together: Loss | None = None


@dataclass(frozen=True)
class Workload:
    """A model with all that is needed to train and judge it.

    `initial(seed)`: same seed, same weights, bit by bit.
    `scores(weights, rows)`: sums over these rows (see `Scores`); always holds ``rows``.
    `person_scores` names the keys of `scores` that, divided by the person's rows, lie in [0, 1] (noised release).
    `summary(scores)`: readable figures from merged sums, such as {"accuracy": 0.81}; `headline` names the first.
    `invent(seed, people, rows_per_person)`: synthetic rows that fit the schema, of people 0 … people-1.
    """

    name: str
    version: int
    title: str
    schema: RowSchema
    phases: tuple[Phase, ...]
    initial: Callable[[int], dict[str, torch.Tensor]]
    scores: Callable[[Weights, Rows], dict[str, float]]
    person_scores: tuple[str, ...]
    summary: Callable[[Scores], dict[str, float]]
    headline: str
    higher_is_better: bool
    invent: Callable[[int, int, int], Rows]

    def phase(self, name: str) -> Phase:
        """The phase called `name`, or `WorkloadError`."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise WorkloadError(
            f"workload {self.name} has no phase {name!r}; it has {', '.join(phase.name for phase in self.phases)}."
        )


@lru_cache(maxsize=16)
def shapes(initial: Callable[[int], dict[str, torch.Tensor]], seed: int) -> Weights:
    """Names and shapes of the weights that `initial(seed)` makes, for `unflatten`; their values mean nothing."""
    return {name: tensor.new_zeros(()).expand(tensor.shape) for name, tensor in initial(seed).items()}


def trained_names(weights: Weights, phase: Phase, trains: Sequence[str] = ()) -> tuple[str, ...]:
    """Sorted names that a round moves: those of the phase, narrowed to the task's prefixes `trains` if it has any."""
    names = tuple(
        sorted(
            name for name in weights if name.startswith(phase.trains) and (not trains or name.startswith(tuple(trains)))
        )
    )
    if not names:
        raise WorkloadError(f"no weight of phase {phase.name} begins with {list(trains)}; weights: {sorted(weights)}.")
    return names


def flatten(weights: Weights, names: Sequence[str]) -> Vector:
    """The named tensors, one after the other, as float32 (parameters,)."""
    arrays = (weights[name].detach().cpu().numpy() for name in names)
    return np.concatenate([array.astype(np.float32, copy=False).ravel() for array in arrays])


def unflatten(vector: npt.NDArray[np.floating], like: Weights, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """`like` with the named tensors taken from `vector`; the inverse of `flatten`."""
    size = sum(like[name].numel() for name in names)
    if vector.shape != (size,):
        raise WorkloadError(f"a vector of shape {vector.shape} for {size} parameters.")
    result, start = dict(like), 0
    for name in names:
        end = start + like[name].numel()
        part = torch.from_numpy(np.require(vector[start:end], np.float32, ["C", "W"]))  # copies bytes of a message
        result[name] = part.reshape(like[name].shape).to(like[name].device)
        start = end
    return result


def merge(parts: Sequence[Scores]) -> dict[str, float]:
    """Scores of several people or parties as one: key by key, the sum."""
    keys = {key for part in parts for key in part}
    return {key: float(sum(part.get(key, 0.0) for part in parts)) for key in sorted(keys)}
