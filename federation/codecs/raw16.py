"""Little-endian float16, rounded to nearest: 16 bits per value, relative error ≤ 2⁻¹¹ (absolute ≤ 2⁻²⁵ near zero)."""

import numpy as np

from federation.codecs.checks import Data, Vector, require_finite, require_length, require_vector

LARGEST = float(np.finfo(np.float16).max)


def encode(vector: Vector, _shared_seed: int) -> bytes:
    """2 bytes per value; a magnitude above 65504 is an error, not ∞."""
    require_vector(vector, LARGEST)
    return vector.astype("<f2").tobytes()


def decode(data: Data, size: int, _shared_seed: int) -> Vector:
    """The rounded vector."""
    require_length(data, max_bytes(size), size)
    vector = np.frombuffer(data, "<f2").astype(np.float32)
    require_finite(vector)
    return vector


def max_bytes(size: int) -> int:
    """Every encoding has exactly this length."""
    return 2 * size
