"""One sign in each block of levels that is never sent: the parity of the block's levels tells it.

The sender makes the parity right by rounding one coordinate the other way, the one for which this changes least
(Clare, Henry, Jung 2011, "Sign Data Hiding", JCTVC-G271, in use in HEVC). It saves a bit per block for little error.
"""

import numpy as np
import numpy.typing as npt

from federation.codecs.checks import Vector

Signs = npt.NDArray[np.bool_]
"""True where a level is below zero."""
TRIES = 8


def hide(levels: Vector, rounding: Vector, negative: Signs, block: int) -> None:
    """Change `levels` ≥ 0 in place, so that each block's parity is the sign of its first level other than zero.

    `rounding` is what each value was above its level: the nearest to ½ changes first, upwards where it is above zero;
    −∞ for one that may not change. Where no such change helps, the block's levels become zero.
    """
    whole = len(levels) // block * block
    rows, parts = levels[:whole].reshape(-1, block), rounding[:whole].reshape(-1, block)
    signs = negative[:whole].reshape(-1, block)
    wrong = np.flatnonzero(_wrong(rows, signs))
    if not len(wrong):
        return
    tried, parts, signs = rows[wrong], parts[wrong], signs[wrong]
    merit = np.abs(parts)
    merit[np.isinf(parts)] = -1
    for _ in range(TRIES):
        left = np.arange(len(tried))
        place = merit.argmax(axis=1)
        change = np.where(parts[left, place] > 0, np.float32(1), np.float32(-1))
        change[merit[left, place] < 0] = 0
        tried[left, place] += change
        bad = _wrong(tried, signs)
        rows[wrong[~bad]] = tried[~bad]
        tried[left, place] -= change
        merit[left, place] = -1
        wrong, tried, parts, signs, merit = wrong[bad], tried[bad], parts[bad], signs[bad], merit[bad]
        if not len(wrong):
            return
    rows[wrong] = 0


def hidden(levels: Vector, block: int) -> tuple[npt.NDArray[np.int64], Signs]:
    """Which signs are hidden, by their number among those of `levels` ≥ 0 other than zero, and what these signs are."""
    rows = levels[: len(levels) // block * block].reshape(-1, block)
    counts = _sums((rows > 0).astype(np.float32))
    some = counts > 0
    return (np.cumsum(counts) - counts)[some], _odd(rows)[some]


def _wrong(rows: Vector, signs: Signs) -> Signs:
    """Which blocks have a level other than zero, the first of which has a sign that is not the block's parity."""
    first = (rows != 0).argmax(axis=1)
    every = np.arange(len(rows))
    wrong: Signs = (rows[every, first] != 0) & (signs[every, first] != _odd(rows))
    return wrong


def _odd(rows: Vector) -> Signs:
    """The parity of each row's sum."""
    odd: Signs = (_sums(rows) & 1).astype(np.bool_)
    return odd


def _sums(rows: Vector) -> npt.NDArray[np.int64]:
    """The sum of each row; of whole numbers below 2²⁴ it is exact in any order."""
    sums: npt.NDArray[np.int64] = np.matmul(rows, np.ones(rows.shape[1], np.float32)).astype(np.int64)
    return sums
