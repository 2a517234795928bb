"""Little-endian float32 as they are: 32 bits per value, lossless."""

import numpy as np

from federation.codecs.checks import Data, Vector, require_finite, require_length, require_vector

LARGEST = float(np.finfo(np.float32).max)


def encode(vector: Vector, _shared_seed: int) -> bytes:
    """4 bytes per value."""
    require_vector(vector, LARGEST)
    return vector.astype("<f4", copy=False).tobytes()


def decode(data: Data, size: int, _shared_seed: int) -> Vector:
    """The vector, bit by bit: a view of `data`, which must not change."""
    require_length(data, max_bytes(size), size)
    vector = np.frombuffer(data, "<f4").astype(np.float32, copy=False)
    require_finite(vector)
    return vector


def max_bytes(size: int) -> int:
    """Every encoding has exactly this length."""
    return 4 * size
