"""Groups of magnitudes that are coded as one symbol, because that is faster than one by one."""

from functools import lru_cache

import constriction
import numpy as np
import numpy.typing as npt

from federation.codecs.checks import Vector

Weights = npt.NDArray[np.float64]
"""Odds of the magnitudes 0 … top, each a whole multiple of 1 / `WEIGHT`, so that both sides have the very same ones."""
WEIGHT = 2**20
GROUPS = 4096


def whole_weights(odds: Weights) -> Weights:
    """Odds that add up to about 1 as multiples of 1 / `WEIGHT`, none of them 0."""
    return np.maximum(np.rint(odds * WEIGHT), 1) / WEIGHT


def group_of(top: int) -> int:
    """How many magnitudes 0 … `top` make one of at most `GROUPS` symbols.

    >>> group_of(1), group_of(3), group_of(5000)
    (12, 6, 1)
    """
    group = 1
    while (top + 1) ** (group + 1) <= GROUPS:
        group += 1
    return group


def joined(magnitudes: Vector, top: int) -> npt.NDArray[np.int32]:
    """One symbol for each group, the last one padded with zeros: sums below 2²⁴, exact in float32."""
    group = group_of(top)
    places = (top + 1) ** np.arange(group - 1, -1, -1, dtype=np.float32)
    whole = len(magnitudes) // group * group
    symbols = np.empty(-(-len(magnitudes) // group), np.float32)
    np.matmul(magnitudes[:whole].reshape(-1, group), places, out=symbols[: whole // group])
    if whole < len(magnitudes):
        symbols[-1] = magnitudes[whole:] @ places[: len(magnitudes) - whole]
    return symbols.astype(np.int32)


def parted(symbols: npt.NDArray[np.int32], top: int) -> Vector:
    """The magnitudes of whole groups: float32 (symbols · group,)."""
    magnitudes: Vector = _magnitudes(top).take(symbols, axis=0).reshape(-1)
    return magnitudes


def joint(weights: Weights) -> "constriction.stream.model.Categorical":
    """The odds of whole groups; plain products of whole numbers, taken in the same order by everybody."""
    odds = weights
    for _ in range(group_of(len(weights) - 1) - 1):
        odds = np.multiply.outer(odds, weights).reshape(-1)
    return constriction.stream.model.Categorical(odds, perfect=False)


@lru_cache(maxsize=128)
def _magnitudes(top: int) -> Vector:
    """Which magnitudes each symbol stands for: float32 (symbols, group)."""
    group = group_of(top)
    places = (top + 1) ** np.arange(group - 1, -1, -1)
    return (np.arange((top + 1) ** group)[:, None] // places % (top + 1)).astype(np.float32)
