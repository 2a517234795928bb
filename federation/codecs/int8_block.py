"""Blocks of 256 values with a float32 scale each and stochastic rounding to 8 bits: unbiased, 8.125 bits per value.

Layout: all scales, then one signed byte per value in -127 … 127. The rounding draws from the public shared seed, so
it is a function of (vector, seed); it protects nothing and needs no secret. Error of each value < its block's scale,
which is the block's largest magnitude / 127.
"""

import numpy as np
import numpy.typing as npt

from federation.codecs.checks import Data, Vector, require_length, require_vector
from federation.errors import WireError

BLOCK = 256
STEPS = 127
LARGEST = 2.0**126
"""Well below float32's maximum, so that scale × 127 stays finite however the scale is rounded."""


def encode(vector: Vector, shared_seed: int) -> bytes:
    """One byte per value, 4 per block."""
    require_vector(vector, LARGEST)
    scales = _scales(vector)
    ratio = vector / np.maximum(_per_value(scales, len(vector)), np.finfo(np.float32).smallest_subnormal)
    ratio += np.random.default_rng(shared_seed).random(len(vector), dtype=np.float32)
    steps = np.clip(np.floor(ratio), -STEPS, STEPS).astype(np.int8)
    return scales.astype("<f4", copy=False).tobytes() + steps.tobytes()


def decode(data: Data, size: int, _shared_seed: int) -> Vector:
    """Step × scale of its block; refuses what no encoder writes."""
    require_length(data, max_bytes(size), size)
    blocks = _blocks(size)
    scales = np.frombuffer(data, "<f4", count=blocks).astype(np.float32)
    steps = np.frombuffer(data, np.int8, offset=4 * blocks)
    if size and not (scales.min() >= 0 and scales.max() <= 2 * LARGEST / STEPS and steps.min() >= -STEPS):
        raise WireError("the coded vector holds a scale or a step that no sender writes; leave its message out.")
    return steps * _per_value(scales, size)


def max_bytes(size: int) -> int:
    """Every encoding has exactly this length."""
    return size + 4 * _blocks(size)


def _blocks(size: int) -> int:
    return -(-size // BLOCK)


def _scales(vector: Vector) -> Vector:
    """Largest magnitude of each block / 127, rounded up so that no ratio passes 127: float32 (blocks,)."""
    whole = len(vector) // BLOCK * BLOCK
    largest = np.abs(vector[:whole].reshape(-1, BLOCK)).max(axis=1)
    if whole < len(vector):
        largest = np.append(largest, np.abs(vector[whole:]).max())
    return np.where(largest > 0, np.nextafter(largest / np.float32(STEPS), np.float32(np.inf)), np.float32(0))


def _per_value(scales: Vector, size: int) -> npt.NDArray[np.float32]:
    return np.repeat(scales, BLOCK)[:size]
