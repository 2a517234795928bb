"""What every codec demands of its input, in both directions."""

import math

import numpy as np
import numpy.typing as npt

from federation.errors import WireError

Vector = npt.NDArray[np.float32]
"""Flat float32 values, (size,)."""
Data = bytes | memoryview
"""Bytes to read; a payload is a part of its message, without a copy."""


def require_vector(vector: Vector, largest: float) -> None:
    """Raise `WireError` unless `vector` is flat float32 with every magnitude ≤ `largest` (so neither NaN nor ∞)."""
    if vector.ndim != 1 or vector.dtype != np.float32:
        raise WireError(f"a codec takes flat float32 vectors; found {vector.dtype} of shape {vector.shape}.")
    # max and min of a vector with a NaN are NaN, and then both comparisons fail.
    if len(vector) and not (vector.max() <= largest and vector.min() >= -largest):
        raise WireError(
            f"the vector holds NaN, ∞ or a magnitude above {largest:g}, which this codec cannot carry. "
            "The model diverged: lower the learning rate, or choose raw32."
        )


def require_length(data: Data, expected: int, size: int) -> None:
    """Raise `WireError` unless `data` has exactly the `expected` bytes of a vector of `size` values."""
    if size < 0 or len(data) != expected:
        raise WireError(f"{len(data)} bytes for a vector of {size} values; expected exactly {expected}.")


def require_finite(vector: Vector) -> None:
    """Raise `WireError` if decoded values are not all finite.

    A finite sum of squares says so in one pass; one that is not may have overflowed, and then each value is looked at.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(vector @ vector):
            return
    if len(vector) and not (np.isfinite(vector.max()) and np.isfinite(vector.min())):
        raise WireError("the decoded vector holds NaN or ∞; the sender is broken or hostile, leave its message out.")


def require_bounds(data: Data, size: int, least: int, most: int) -> None:
    """Raise `WireError` unless `data` has `least` to `most` bytes; none at all for a vector of no values."""
    if len(data) > most or (len(data) < least if size else data):
        raise WireError(
            f"{len(data)} bytes for a vector of {size} values; expected at most {most} and at least {least}."
        )
