"""Entropy-coded quantisation with a dead zone: little error for the bits, the same bytes for the same vector.

Every value is rounded to whole steps, small ones rather to zero; blocks of 256 magnitudes are sorted into classes by
their scale, and each class is coded with odds of its own (after the contexts of DeepCABAC, Wiedemann et al. 2020,
§III). What was rounded to one step is decoded as its mean, what was rounded to more as nearly its mean. The error is
biased towards zero: a sender that codes what its receivers lack puts it right in its next message.

Decoding takes single sums and products of float32 only, so that all machines get the same bits.

Layout: the step (float32), two bytes of means, two about the classes, the stack of the blocks; a vector of zeros is
eight zero bytes.
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from federation.codecs import block_words, scale_classes
from federation.codecs.block_words import BLOCK, LARGEST_LEVEL, Odds, Sorted
from federation.codecs.checks import Data, Vector, require_bounds, require_finite, require_vector
from federation.codecs.scale_classes import Classes
from federation.errors import WireError

Rows = npt.NDArray[np.float32]
"""(blocks, 256)."""
LARGEST, SMALLEST = 2.0**96, 2.0**-96
"""Largest magnitude of a value; a vector whose values are all below `SMALLEST` counts as zeros."""
LARGEST_SIZE = 2**27
LEAST_BYTES = 24
ROUND_UP = 0.33
"""What lies less than this part of a step below a whole number of steps is rounded up."""
FINEST, COARSEST = -15.0, 1.0
"""The smallest step, and one at which all is zero, in octaves from the largest magnitude."""
SAMPLE = 256
"""So many blocks tell about how many bits a step takes."""
PRECISION, CLOSE, CAUTION, SURE, TRIALS = 2**-7, 0.955, 0.975, 0.99, 6
"""Of a step, in octaves; a message this full is good enough; what is aimed at; what is expected to fit when it is
coded; how often the aim is corrected."""
NEAR = 0.25
"""A corrected step is at most so many octaves from the one before."""
MEANS = 128
"""Means are whole multiples of a step divided by this."""
_HEAD = struct.Struct("<fBBBB")


@dataclass(frozen=True)
class Plan:
    """Magnitudes in whole `levels` of a step, how they would be coded, and about how long that would be."""

    step: np.float32
    levels: Rows
    classes: Classes
    odds: Odds
    size_bytes: float


def encode(bits: float, vector: Vector, _shared_seed: int) -> bytes:
    """At most `max_bytes(bits, size)` bytes, about `bits` per value."""
    require_vector(vector, LARGEST)
    _require_size(len(vector))
    rows = np.zeros((-(-len(vector) // BLOCK), BLOCK), np.float32)
    rows.reshape(-1)[: len(vector)] = vector
    if not len(vector) or max(vector.max(), -vector.min()) < SMALLEST:
        return bytes(_HEAD.size if len(vector) else 0)
    return _fit(rows, max_bytes(bits, len(vector)) - _HEAD.size)


def decode(bits: float, data: Data, size: int, _shared_seed: int) -> Vector:
    """The rounded vector; refuses what no encoder writes."""
    _require_size(size)
    require_bounds(data, size, _HEAD.size, max_bytes(bits, size))
    if data in (b"", bytes(_HEAD.size)):
        return np.zeros(size, np.float32)
    step, one, more, first, ratio = _HEAD.unpack_from(data)
    if not (SMALLEST * 2**FINEST / 2 <= step < np.inf):
        raise WireError("the coded vector holds a step that no sender writes; leave its message out.")
    blocks = block_words.decode(first, ratio, data[_HEAD.size :], -(-size // BLOCK))
    rows = np.zeros((len(blocks.classes), BLOCK), np.float32)
    with np.errstate(over="ignore"):
        rows[blocks.order] = _values(blocks, np.float32(step), one, more)
    vector = rows.reshape(-1)
    if vector[size:].any():
        raise WireError("the coded vector is longer than it may be; leave its message out.")
    require_finite(vector)
    return vector[:size]


def max_bytes(bits: float, size: int) -> int:
    """No encoding is longer: the budget, or a few bytes more for short vectors."""
    return max(LEAST_BYTES, int(bits * size) // 8) if size else 0


def _require_size(size: int) -> None:
    if not 0 <= size <= LARGEST_SIZE:
        raise WireError(f"a vector of {size} values; this codec takes at most {LARGEST_SIZE}.")


def _fit(rows: Rows, most: int) -> bytes:
    """The message of the smallest step, or nearly, whose blocks take at most `most` bytes; zeros if there is none."""
    magnitudes = np.abs(rows)
    sample = magnitudes[:: max(1, len(rows) // SAMPLE)]
    largest, low, high = float(magnitudes.max()), FINEST, COARSEST
    aim, found = CAUTION * 8 * most * len(sample) / len(rows), bytes(_HEAD.size)
    around = low, high
    for trial in range(2 * TRIALS):
        octave = _search(sample, aim, largest, *around) if trial < TRIALS else (low + high) / 2
        plan = _planned(magnitudes, np.float32(largest * 2**octave))
        data = _coded(rows, plan) if plan.size_bytes <= SURE * most else b""
        size = len(data) - _HEAD.size if data else plan.size_bytes / SURE
        aim *= CAUTION * most / (size + 1)
        if size <= most:
            high, found = octave, data
        else:
            low = octave
        if CLOSE * most < size <= most or high - low < PRECISION:
            break
        around = max(low, octave - NEAR), min(high, octave + NEAR)
    return found


def _search(sample: Rows, bits: float, largest: float, low: float, high: float) -> float:
    """The octaves from `largest` to the step, between `low` and `high`, at which a sample takes about so many bits."""
    while high - low > PRECISION:
        middle = (low + high) / 2
        taken = 8 * _planned(sample, np.float32(largest * 2**middle)).size_bytes
        low, high = (middle, high) if taken > bits else (low, middle)
    return high


def _planned(magnitudes: Rows, step: np.float32) -> Plan:
    levels = _levels(magnitudes, step)
    some = np.count_nonzero(levels, axis=1).astype(np.float64)
    totals, squares = levels.sum(axis=1), np.einsum("ij,ij->i", levels, levels)
    classes = scale_classes.classes_of(totals.astype(np.float64))
    share, reach, bits = scale_classes.fitted(scale_classes.moments(classes, BLOCK, some, totals, squares))
    return Plan(step, levels, classes, Odds(share, reach), (bits + block_words.class_bits(classes)) / 8)


def _levels(magnitudes: Rows, step: np.float32) -> Rows:
    """Magnitudes in whole steps."""
    levels = magnitudes * (np.float32(1) / step)
    levels += np.float32(ROUND_UP)
    np.floor(levels, out=levels)
    np.minimum(levels, np.float32(LARGEST_LEVEL), out=levels)
    return levels


def _coded(rows: Rows, plan: Plan) -> bytes:
    order = block_words.order_of(plan.classes)
    if not len(order):
        return bytes(_HEAD.size)
    levels = plan.levels[order]
    places = np.flatnonzero(levels > 0)
    exact = rows[order].reshape(-1)[places]
    one, more = _means((np.abs(exact) / plan.step).astype(np.float32), levels.reshape(-1)[places])
    first, ratio, body = block_words.encode(Sorted(plan.classes, order, levels, exact < 0), plan.odds)
    return _HEAD.pack(plan.step, one, more, first, ratio) + body


def _means(exact: Vector, levels: Vector) -> tuple[int, int]:
    """The mean of what was rounded to one step, and how much on average the rest lies above its level."""
    single = levels == 1
    above = [float(part.mean()) if len(part) else 0.0 for part in ((exact - levels)[single], (exact - levels)[~single])]
    one, more = (min(max(round(MEANS * mean) + MEANS, 0), 2 * MEANS - 1) for mean in above)
    return one, more


def _values(blocks: Sorted, step: np.float32, one: int, more: int) -> Rows:
    """Levels moved to the means, in steps, with their signs."""
    values = blocks.levels.reshape(-1)
    places = np.flatnonzero(values > 0)
    levels = values[places]
    levels += np.where(levels == 1, np.float32(one / MEANS - 1), np.float32(more / MEANS - 1))
    values[places] = levels * np.where(blocks.negative, -step, step)
    return values.reshape(-1, BLOCK)
