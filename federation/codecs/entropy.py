"""Bytes of whole numbers that a Gaussian left behind when it was rounded: asymmetric numeral systems (Duda 2013).

Rotated vectors are so close to Gaussian that one number, the step in standard deviations, tells the probability of
every level: no table is sent. Levels are coded in groups, which is faster and loses no part of a bit per level.
"""

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import constriction
import numpy as np
import numpy.typing as npt

from federation.codecs.checks import Vector
from federation.errors import WireError

Words = npt.NDArray[np.uint32]
STEP_UNIT = 1 / 512
"""Steps are whole multiples of this many standard deviations."""
SMALLEST_STEP, LARGEST_STEP = 64, 2**16 - 1
REACH = 6.5
"""Levels end at this many standard deviations; what lies beyond takes the last level."""
GROUPS = 4096
BOTTOM = 2**16 + 1
"""What stands below the first level: when all are read exactly this is left, or bytes were lost, added or changed."""
WEIGHT = 2**20
"""Probabilities are whole multiples of 1 / this, so that both sides have the very same ones."""


@dataclass(frozen=True)
class Model:
    """The levels −`top` … `top`, `group` of them to a symbol; `weights` (2·top + 1,) is proportional to their odds."""

    top: int
    group: int
    weights: npt.NDArray[np.float64]


@cache
def bits_per_level(step: int) -> float:
    """The entropy of a rounded Gaussian: what a level costs on average."""
    odds = model(step).weights / model(step).weights.sum()
    return float(-(odds * np.log2(odds)).sum())


def step_for(bits: float) -> int:
    """The smallest step whose levels cost at most `bits` on average.

    >>> step_for(0.1) * STEP_UNIT, step_for(2) * STEP_UNIT
    (5.07421875, 1.08203125)
    """
    low, high = SMALLEST_STEP - 1, LARGEST_STEP
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if bits_per_level(middle) <= bits else (middle, high)
    return high


@lru_cache(maxsize=256)
def model(step: int) -> Model:
    """The odds of the levels of a standard normal variable, divided by the step and rounded to the nearest."""
    width = step * STEP_UNIT
    top = max(1, math.ceil(REACH / width - 0.5))
    above = [math.erfc((level + 0.5) * width / math.sqrt(2)) / 2 for level in range(top)] + [0.0]
    weights = [max(1, round((above[level - 1] - above[level]) * WEIGHT)) for level in range(1, top + 1)]
    zero = max(1, round((1 - 2 * above[0]) * WEIGHT))
    group = int(math.log(GROUPS) / math.log(2 * top + 1))
    return Model(top, group, np.array([*reversed(weights), zero, *weights], np.float64))


def encode(levels: Vector, step: int) -> Words:
    """The words of float32 `levels`, whole numbers within the model's: they are padded with zeros to whole groups."""
    odds = model(step)
    base = 2 * odds.top + 1
    places = base ** np.arange(odds.group - 1, -1, -1, dtype=np.float32)
    whole = len(levels) // odds.group * odds.group
    symbols = np.empty(-(-len(levels) // odds.group), np.float32)
    np.matmul(levels[:whole].reshape(-1, odds.group), places, out=symbols[: whole // odds.group])
    if whole < len(levels):
        symbols[-1] = levels[whole:] @ places[: len(levels) - whole]
    symbols += odds.top * float(places.sum())
    coder = constriction.stream.stack.AnsCoder(np.array([BOTTOM], np.uint32))
    coder.encode_reverse(symbols.astype(np.int32), _symbols(step))
    words: Words = coder.get_compressed()
    return words


def decode(words: Words, count: int, step: int) -> Vector:
    """The `count` levels; `WireError` unless they take exactly these words."""
    odds = model(step)
    if len(words) and words[-1] == 0:
        raise WireError("the coded levels end in an empty word, which no sender writes; leave its message out.")
    coder = constriction.stream.stack.AnsCoder(words)
    symbols = coder.decode(_symbols(step), -(-count // odds.group))
    levels: Vector = _levels(odds.top, odds.group).take(symbols, axis=0).reshape(-1)
    if not np.array_equal(coder.get_compressed(), [BOTTOM]) or levels[count:].any():
        raise WireError("the coded levels are damaged: their end is not where the levels end; leave the message out.")
    return levels[:count]


@lru_cache(maxsize=64)
def _symbols(step: int) -> "constriction.stream.model.Categorical":
    """The odds of whole groups; plain products of whole numbers, taken in the same order by everybody."""
    odds = model(step)
    joint = odds.weights / WEIGHT
    for _ in range(odds.group - 1):
        joint = np.multiply.outer(joint, odds.weights / WEIGHT).reshape(-1)
    return constriction.stream.model.Categorical(joint, perfect=False)


@lru_cache(maxsize=64)
def _levels(top: int, group: int) -> Vector:
    """Which levels each symbol stands for: float32 (symbols, group)."""
    base = 2 * top + 1
    places = base ** np.arange(group - 1, -1, -1)
    return (np.arange(base**group)[:, None] // places % base - top).astype(np.float32)
