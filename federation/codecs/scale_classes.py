"""Odds of magnitudes in blocks that were sorted into classes by their scale.

A class holds the blocks whose magnitudes add up to about the same, and has odds of its own: how many magnitudes are
not zero, and how far those reach, as a geometric variable or as a rounded half-normal one, whichever is shorter.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import constriction
import numpy as np
import numpy.typing as npt

from federation.codecs import grouping
from federation.codecs.grouping import Weights

Reals = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int32]
CLASSES = 25
"""Class 0 holds zeros; the others each an octave of sums below 2²⁴."""
SHARES, REACHES = 64, 128
GEOMETRIC = 64
"""Reaches below this index are geometric, the others half-normal."""
LARGEST_TOP = 4095
ESCAPED = 2**-9
"""About this part of what is not zero takes the last level, and an escape says by how much it is passed."""
_STARTS = 2 ** (np.arange(CLASSES - 1) - 0.5)
_NEVER = 2**-20


@dataclass(frozen=True)
class Moments:
    """Of each class, (CLASSES,) each: how many magnitudes, how many not zero, the sums of those less 1, squared too."""

    count: Reals
    nonzero: Reals
    excess: Reals
    squares: Reals


def classes_of(totals: Reals) -> Classes:
    """The class of each block, from the sum of its magnitudes."""
    return np.searchsorted(_STARTS, totals, side="right").astype(np.int32)


def moments(classes: Classes, block: int, nonzero: Reals, totals: Reals, squares: Reals) -> Moments:
    """What the blocks of each class have together; `nonzero`, `totals` and `squares` of each block's magnitudes."""
    blocks, some, whole, square = (
        np.bincount(classes, weights, CLASSES).astype(np.float64)
        for weights in (np.ones(len(classes)), nonzero, totals, squares)
    )
    return Moments(blocks * block, some, whole - some, square - 2 * whole + some)


def fitted(found: Moments) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], float]:
    """The best share and reach of each class, and about how many bits all magnitudes and their signs then take."""
    some = np.maximum(found.nonzero, _NEVER)
    odds = np.log2(np.maximum(found.count - found.nonzero, _NEVER) / some)
    share = np.clip(np.rint(4 * odds) + SHARES // 2, 0, SHARES - 1).astype(np.int32)
    mean = found.excess / some
    geometric = np.clip(np.rint(4 * np.log2(np.maximum(mean, _NEVER))) + 24, 0, GEOMETRIC - 1)
    normal = np.clip(np.rint(4 * np.log2((mean + 0.5) / math.sqrt(2 / math.pi))), 0, REACHES - GEOMETRIC - 1)
    ratio, width = _ratio(geometric), _width(normal)
    short = -some * np.log2(1 - ratio) - found.excess * np.log2(ratio)
    spread = (found.squares + found.excess + some / 4) / (2 * math.log(2) * width**2)
    long = some * np.log2(width * math.sqrt(math.pi / 2)) + spread
    part = _share(share)
    zeros = -(found.count - found.nonzero) * np.log2(1 - part) - found.nonzero * (np.log2(part) - 1)
    reach = np.where(short <= long, geometric, GEOMETRIC + normal).astype(np.int32)
    return share, reach, float((zeros + np.minimum(short, long))[1:].sum())


@lru_cache(maxsize=256)
def weights(share: int, reach: int) -> Weights:
    """The odds of 0 … top; the last of them are those of all that lies beyond as well."""
    if reach < GEOMETRIC:
        ratio = float(_ratio(reach))
        top = 1 + math.ceil(math.log(ESCAPED) / math.log(ratio))
        beyond = [ratio**excess for excess in range(min(top, LARGEST_TOP))]
    else:
        width = math.sqrt(2) * float(_width(reach - GEOMETRIC))
        top = 1 + math.ceil(3 * width / math.sqrt(2))
        beyond = [math.erfc(excess / width) for excess in range(min(top, LARGEST_TOP))]
    part = float(_share(share))
    return grouping.whole_weights(-np.diff([1.0, *(part * odds for odds in beyond), 0.0]))


@lru_cache(maxsize=256)
def symbols(share: int, reach: int) -> "constriction.stream.model.Categorical":
    """The odds of groups of magnitudes."""
    return grouping.joint(weights(share, reach))


def _share(share: npt.ArrayLike) -> Reals:
    """The part that is not zero: 1/257 … 0.996."""
    return 1 / (1 + 2 ** ((np.asarray(share, np.float64) - SHARES // 2) / 4))


def _ratio(reach: npt.ArrayLike) -> Reals:
    """Of a geometric variable with a mean of 1/64 … 861."""
    mean = 2 ** ((np.asarray(reach, np.float64) - 24) / 4)
    return mean / (1 + mean)


def _width(reach: npt.ArrayLike) -> Reals:
    """Of a half-normal variable: 1 … 55,000 levels."""
    return 2 ** (np.asarray(reach, np.float64) / 4)
