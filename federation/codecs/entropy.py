"""Bytes of whole numbers that a Gaussian left behind when it was rounded: asymmetric numeral systems (Duda 2013).

Rotated vectors are so close to Gaussian that one number, the step in standard deviations, tells the probability of
every magnitude: no table is sent. Magnitudes are coded in groups, which is faster; signs follow as plain bits, but for
those that are hidden in parities.
"""

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import constriction
import numpy as np
import numpy.typing as npt

from federation.codecs import grouping, sign_hiding, stack
from federation.codecs.checks import Data, Vector
from federation.codecs.sign_hiding import Signs
from federation.errors import WireError

STEP_UNIT = 1 / 512
"""Steps are whole multiples of this many standard deviations."""
SMALLEST_STEP, LARGEST_STEP = 64, 2**16 - 1
REACH = 6.5
"""Levels end at this many standard deviations; what lies beyond takes the last level."""
SMALLEST_BLOCK, LARGEST_BLOCK, PER_BLOCK = 16, 1024, 1.6
"""A sign is hidden in as many levels as hold so many other than zero on average: with fewer, changes cost too much."""


@dataclass(frozen=True)
class Model:
    """Magnitudes 0 … `top`; one sign in each `block` of levels is hidden.

    `weights` (top + 1,) is proportional to the odds of the magnitudes.
    """

    top: int
    block: int
    weights: grouping.Weights


@cache
def bits_per_level(step: int) -> float:
    """What a level costs on average: the entropy of its magnitude, and its sign unless that is hidden."""
    odds = model(step).weights / model(step).weights.sum()
    shown = (1 - odds[0]) - (1 - odds[0] ** model(step).block) / model(step).block
    return float(-(odds * np.log2(odds)).sum() + shown)


def step_for(bits: float) -> int:
    """The smallest step whose levels cost at most `bits` on average.

    >>> step_for(0.1) * STEP_UNIT, step_for(2) * STEP_UNIT
    (4.982421875, 1.037109375)
    """
    low, high = SMALLEST_STEP - 1, LARGEST_STEP
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if bits_per_level(middle) <= bits else (middle, high)
    return high


@lru_cache(maxsize=256)
def model(step: int) -> Model:
    """The odds of the magnitudes of a standard normal variable, divided by the step and rounded to the nearest."""
    width = step * STEP_UNIT
    top = max(2, math.ceil(REACH / width - 0.5))
    beyond = [1.0, *(math.erfc((level + 0.5) * width / math.sqrt(2)) for level in range(top)), 0.0]
    weights = grouping.whole_weights(-np.diff(beyond))
    block = min(max(SMALLEST_BLOCK, round(PER_BLOCK / max(beyond[1], PER_BLOCK / LARGEST_BLOCK))), LARGEST_BLOCK)
    return Model(top, block, weights)


def encode(magnitudes: Vector, negative: Signs, step: int) -> bytes:
    """The bytes of levels whose signs are hidden where they must be; float32 whole numbers up to the model's top."""
    odds = model(step)
    places = np.flatnonzero(magnitudes > 0)
    first, _ = sign_hiding.hidden(magnitudes, odds.block)
    coder = stack.on_bits(negative.take(places)[_all_but(first, len(places))])
    coder.encode_reverse(grouping.joined(magnitudes, odds.top), _symbols(step))
    return stack.taken(coder)


def decode(data: Data, count: int, step: int) -> Vector:
    """The `count` levels; `WireError` unless they take exactly these bytes."""
    odds = model(step)
    coder = stack.opened(data)
    symbols = coder.decode(_symbols(step), -(-count // grouping.group_of(odds.top)))
    levels, rest = np.split(grouping.parted(symbols, odds.top), [count])
    places = np.flatnonzero(levels > 0)
    first, below = sign_hiding.hidden(levels, odds.block)
    bits = stack.bits_of(coder, len(places) - len(below))
    if rest.any():
        raise WireError("the coded levels are damaged: what fills the last group is not zero; leave the message out.")
    negative = np.empty(len(places), np.bool_)
    negative[first] = below
    negative[_all_but(first, len(places))] = bits
    turned = np.zeros(count, np.uint32)
    turned[places] = negative
    turned <<= 31  # where a float32 keeps its sign
    signed = levels.view(np.uint32)
    signed |= turned
    return levels


def _all_but(some: npt.NDArray[np.int64], count: int) -> Signs:
    """Which of `count` things are not among `some`."""
    others = np.ones(count, np.bool_)
    others[some] = False
    return others


@lru_cache(maxsize=64)
def _symbols(step: int) -> "constriction.stream.model.Categorical":
    """The odds of whole groups."""
    return grouping.joint(model(step).weights)
