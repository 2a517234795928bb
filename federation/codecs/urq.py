"""Unbiased rotated quantisation: two random rotations, rounding to whole steps, entropy coding, one scale.

After EDEN (Vargaftik et al. 2022, "EDEN: Communication-Efficient and Robust Distributed Mean Estimation", §3): x is
decoded as Rᵀ Q · ‖x‖² / ⟨R x, Q⟩, whose mean over the rotations R is x. The step is chosen so that the bytes fill the
budget and never pass it. Rounding to the nearest is the best scalar rule here: at 0.1 bit it lies 0.031 bit above the
limit ½ log₂(1 + 1/v) of unbiased codes with error v · ‖x‖², and with one sign hidden in each block of levels 0.028.

Layout: the step (2 bytes), the scale (the upper 3 bytes of a float32), the stack of the levels; a vector of zeros is
five zero bytes.
"""

import struct

import numpy as np

from federation.codecs import entropy, rotation, sign_hiding
from federation.codecs.checks import Data, Vector, require_bounds, require_finite, require_vector
from federation.codecs.entropy import LARGEST_STEP, SMALLEST_STEP
from federation.errors import WireError

LARGEST = 2.0**96
"""Largest magnitude: what is decoded may be larger than what was sent."""
LARGEST_SIZE = 2**27
LEAST_BYTES = 21
"""Room for a few levels of a vector that is too short for its budget."""
CLOSE, CAUTION, TRIALS = 0.97, 0.985, 6
"""A message this full is good enough; what is aimed at, as a part of the budget; how often the aim is corrected."""
_HEAD = struct.Struct("<H3s")


def encode(bits: float, vector: Vector, shared_seed: int) -> bytes:
    """At most `max_bytes(bits, size)` bytes, about `bits` per value."""
    require_vector(vector, LARGEST)
    _require_size(len(vector))
    largest = float(np.abs(vector).max(initial=0))
    if not largest:
        return bytes(_HEAD.size if len(vector) else 0)
    straight = vector / np.float32(largest)
    layout = rotation.shape(len(vector), bits)
    rotated = rotation.forward(straight, layout, shared_seed)
    energy = float(np.sum(straight * straight))
    deviation = layout.block * (energy / len(rotated)) ** 0.5
    step, levels, body = _fit(rotated / np.float32(deviation), max_bytes(bits, len(vector)) - _HEAD.size)
    scale = energy / float(np.sum(rotated * levels)) * largest
    return _HEAD.pack(step, _rounded(scale)) + body


def decode(bits: float, data: Data, size: int, shared_seed: int) -> Vector:
    """An unbiased estimate of the vector; refuses what no encoder writes."""
    _require_size(size)
    require_bounds(data, size, _HEAD.size, max_bytes(bits, size))
    if data in (b"", bytes(_HEAD.size)):
        return np.zeros(size, np.float32)
    step, upper = _HEAD.unpack_from(data)
    scale = struct.unpack("<f", b"\0" + upper)[0]
    if not (step >= SMALLEST_STEP and 0 <= scale < np.inf):
        raise WireError("the coded vector holds a scale or a step that no sender writes; leave its message out.")
    layout = rotation.shape(size, bits)
    levels = entropy.decode(data[_HEAD.size :], layout.size, step)
    with np.errstate(over="ignore"):
        vector = rotation.backward(levels, layout, shared_seed)[:size] * np.float32(scale)
    require_finite(vector)
    return vector


def max_bytes(bits: float, size: int) -> int:
    """No encoding is longer: the budget, or a few bytes more for short vectors."""
    return max(LEAST_BYTES, int(bits * size) // 8) if size else 0


def _rounded(scale: float) -> bytes:
    """The upper three bytes of the nearest float32 that needs no more: 2⁻¹⁷ away at most."""
    return (int.from_bytes(struct.pack("<f", scale), "little") + 128).to_bytes(4, "little")[1:]


def _require_size(size: int) -> None:
    if not 0 <= size <= LARGEST_SIZE:
        raise WireError(f"a vector of {size} values; this codec takes at most {LARGEST_SIZE}.")


def _fit(normal: Vector, most: int) -> tuple[int, Vector, bytes]:
    """The step, levels and bytes of coordinates of variance 1: at most `most` bytes, but not far fewer.

    The largest step always fits: a level there has at least 64 standard deviations, as at most 1 of 4096 has.
    """
    low, high, aim = SMALLEST_STEP - 1, LARGEST_STEP + 1, CAUTION * 8 * most / len(normal)
    found: tuple[int, Vector, bytes] | None = None
    trial = 0
    while found is None or (trial < TRIALS and high - low > 1 and len(found[2]) < CLOSE * most):
        step = min(max(entropy.step_for(aim), low + 1), high - 1) if trial < TRIALS else (low + high) // 2
        levels, body = _coded(normal, step)
        aim *= CAUTION * most / (len(body) + 1)
        trial += 1
        if len(body) <= most:
            high, found = step, (step, levels, body)
        else:
            low = step
    return found


def _coded(normal: Vector, step: int) -> tuple[Vector, bytes]:
    """Each coordinate in whole steps, signs hidden; where all are zero the largest one keeps a level, for its scale."""
    odds = entropy.model(step)
    negative, size = normal < 0, np.abs(normal)
    size *= np.float32(1 / (step * entropy.STEP_UNIT))
    levels = np.minimum(np.rint(size), np.float32(odds.top))
    highest = size > odds.top if size.max() > odds.top else None
    rounding = np.subtract(size, levels, out=size)
    if highest is not None:
        rounding[highest] = -np.inf
    sign_hiding.hide(levels, rounding, negative, odds.block)
    if not levels.any():
        place = int(np.abs(normal).argmax())
        levels[place] = 1 if negative[place] or place >= len(levels) // odds.block * odds.block else 2
    body = entropy.encode(levels, negative, step)
    return np.copysign(levels, normal), body
