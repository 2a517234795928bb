"""Bounding what one person can change in whole numbers, before noise that parties share is added and masked.

Order of operations (Kairouz, Liu, Steinke 2021, Algorithm 1): each person's vector is clipped, spread by a rotation,
scaled, rounded at random, and its norm is checked exactly in integers; only then are people summed. Rounding a sum
instead would let one person move it by more than the noise was made for.
"""

from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass
from typing import Final, NoReturn

import numpy as np
import numpy.typing as npt
import torch

from privacy.errors import BoundError
from privacy.levels import steps_per_clip
from privacy.noise import RandomSource, words
from privacy.person_level import check_clip, check_updates, clipped

Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float64]
Spread = Callable[[Rows], Rows]
"""A rotation of each row, (people, parameters) to (people, coordinates): norms stay as they are."""

MOST_DRAWS: Final = 64
_SEAL: Final = object()
_BLOCK_VALUES: Final = 2**19
_LARGEST_SUM: Final = 2**62
_ROUNDING: Final = 1e-4
"""How far a rotation may move a norm, in units of the clip: room for one computed in float32."""


@dataclass(frozen=True, eq=False)
class BoundedIntegers:
    """A sum of people's vectors of whole numbers, `vector` (coordinates,), each of L2 norm ≤ `levels`; not yet noised.

    Only `bound_integers`, `no_integers` and `combine_integers` make one. It never leaves the process: its ``repr``
    shows sizes only, and it can be neither copied nor pickled.
    """

    vector: Integers
    levels: int
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise BoundError("BoundedIntegers were made by hand; expected privacy.fixed_point.bound_integers().")
        self.vector.setflags(write=False)

    def __repr__(self) -> str:
        return f"BoundedIntegers({self.vector.size} coordinates, {self.levels} levels)"

    def __reduce__(self) -> NoReturn:
        raise BoundError("BoundedIntegers hold un-noised sums of people's updates; they are not copied or pickled.")


def bound_integers(
    updates: torch.Tensor, clip: float, spread: Spread, levels: int, source: RandomSource
) -> BoundedIntegers:
    """The sum of the rows of `updates`, float (people, parameters), each as whole numbers of L2 norm ≤ `levels`.

    A row with any value that is not finite counts as zero. The expected value of a coordinate is close to
    `steps_per_clip` times that of the rotated row over the clip; redrawing pulls it towards zero by very little.
    """
    check_updates(updates)
    check_clip(clip)
    total = np.zeros(_coordinates(spread, updates.shape[1]), dtype=np.int64)
    scale = steps_per_clip(levels, total.size)
    if len(updates) * levels > _LARGEST_SUM:
        raise BoundError(f"too many people to sum at {levels} levels in 64 bits. Choose fewer levels.")
    for rows in clipped(updates, clip, _BLOCK_VALUES // total.size):
        turned = _turned(rows, spread, total.size)
        turned *= scale
        total += _rounded(turned, levels, source).sum(axis=0)
    return BoundedIntegers(total, levels, _SEAL)


def no_integers(coordinates: int, levels: int) -> BoundedIntegers:
    """The sum over nobody: an empty sample is noised and sent like any other."""
    steps_per_clip(levels, coordinates)
    return BoundedIntegers(np.zeros(coordinates, dtype=np.int64), levels, _SEAL)


def combine_integers(parts: Sequence[BoundedIntegers]) -> BoundedIntegers:
    """The sum of `parts`, which hold different people: the caller's promise."""
    if not parts or any(not isinstance(part, BoundedIntegers) for part in parts):
        raise BoundError("found nothing, or values that are not BoundedIntegers; expected at least one.")
    first = parts[0]
    if any(part.levels != first.levels or part.vector.shape != first.vector.shape for part in parts):
        raise BoundError(
            f"found sums of different kinds: {sorted({repr(part) for part in parts})}; expected one number of levels "
            "and one size. Bound all people of a round with the same terms."
        )
    if sum(int(np.abs(part.vector).max()) for part in parts) > _LARGEST_SUM:
        raise BoundError(f"the sum of {len(parts)} parts does not fit in 64 bits. Choose fewer levels.")
    return BoundedIntegers(np.sum([part.vector for part in parts], axis=0, dtype=np.int64), first.levels, _SEAL)


def _coordinates(spread: Spread, parameters: int) -> int:
    """How long the rotation makes a row, asked with zeros: of nobody's rows it could not be told."""
    found = spread(np.zeros((1, parameters)))
    if found.ndim != 2 or found.shape[0] != 1 or found.shape[1] < parameters:
        raise BoundError(f"the rotation made {found.shape} of one row; expected (1, {parameters} or more).")
    return int(found.shape[1])


def _turned(rows: Rows, spread: Spread, coordinates: int) -> Rows:
    """`rows` rotated, float64 (people, coordinates), of norms at most 1; `BoundError` if they were not kept."""
    turned = np.array(spread(rows), dtype=np.float64)
    if turned.shape != (len(rows), coordinates):
        raise BoundError(f"the rotation gave vectors of shape {turned.shape[1:]}; expected ({coordinates},).")
    norms = np.linalg.norm(turned, axis=1)
    if not (np.abs(norms - np.linalg.norm(rows, axis=1)) <= _ROUNDING).all():
        raise BoundError("the rotation changes the length of vectors; expected an orthonormal one.")
    turned /= np.maximum(norms, 1.0)[:, None]
    return turned


def _rounded(values: Rows, levels: int, source: RandomSource) -> Integers:
    """Each row of `values` rounded up or down at random, without bias, until its norm is at most `levels`.

    Redrawing looks at one person's row only, so the bound holds for each person whoever else takes part. A row that
    fails `MOST_DRAWS` times (probability below 2⁻⁴⁵) is cut towards zero, which only shortens it.
    """
    drawn = _draw(values, source)
    for _ in range(MOST_DRAWS - 1):
        over = np.flatnonzero(_squared(drawn) > levels**2)
        if over.size == 0:
            return drawn
        drawn[over] = _draw(values[over], source)
    over = np.flatnonzero(_squared(drawn) > levels**2)
    drawn[over] = np.trunc(values[over]).astype(np.int64)
    if (_squared(drawn) > levels**2).any():
        raise BoundError("a person's whole numbers are longer than their levels; nothing was summed. Report this.")
    return drawn


def _draw(values: Rows, source: RandomSource) -> Integers:
    """⌊v + u⌋ with u uniform on multiples of 2⁻³²: v on average, to 2⁻³³ of a step."""
    halves = words((values.size + 1) // 2, source).view(np.uint32)[: values.size]
    drawn = halves.reshape(values.shape) * 2.0**-32
    drawn += values
    rounded: Integers = np.floor(drawn, out=drawn).astype(np.int64)
    return rounded


def _squared(rows: Integers) -> Integers:
    """Squared L2 norms, exact: a rounded norm is at most that of the values plus the root of the coordinates."""
    squared: Integers = np.einsum("ij,ij->i", rows, rows)
    return squared
