"""What secure aggregation takes: bytes of exact sizes, whole points, lanes of the width that their bits need."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from privacy.errors import PrivacyError, SecaggError
from privacy.noise import RandomSource

Lanes = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]

KEY_BYTES: Final = 32
LARGEST_POINT: Final = 2**16 - 1
FEWEST_BITS: Final = 4
MOST_BITS: Final = 24


def draw(source: RandomSource, size_bytes: int) -> bytes:
    """Exactly `size_bytes` secret bytes."""
    data = source.read(size_bytes)
    if len(data) != size_bytes:
        raise PrivacyError(
            f"the source of randomness gave {len(data)} bytes instead of {size_bytes}; nothing was masked. "
            "Check the operating system's generator, then start again."
        )
    return data


def require_bytes(what: str, value: Any, size_bytes: int) -> None:
    """Refuse all but `size_bytes` bytes; the message never shows the value."""
    if not isinstance(value, bytes) or len(value) != size_bytes:
        found = f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__
        raise SecaggError(f"found {found} as {what}; expected {size_bytes} bytes. Leave this party out of the round.")


def require_context(context: Any) -> None:
    """Refuse an empty context: two rounds with one context would use one mask twice."""
    if not isinstance(context, bytes) or not context:
        raise SecaggError("found no context; expected bytes that no other round, attempt or task has.")


def require_points(points: Iterable[Any]) -> None:
    """Refuse points that are not whole, not distinct, or outside 1 to 65,535: at point 0 lies the secret itself."""
    points = list(points)
    wrong = [point for point in points if type(point) is not int or not 1 <= point <= LARGEST_POINT]
    if wrong or len(set(points)) != len(points):
        raise SecaggError(
            f"found points {sorted(map(str, points))}; expected distinct whole numbers from 1 to {LARGEST_POINT}. "
            "Number the parties 1, 2, 3, … in the order of their ids."
        )


def require_publics(publics: Mapping[int, bytes]) -> None:
    """Refuse fewer than two parties, and a key that stands at two points: its masks could cancel."""
    require_points(publics)
    for point, key in publics.items():
        require_bytes(f"public key of point {point}", key, KEY_BYTES)
    if len(publics) < 2:
        raise SecaggError(f"found {len(publics)} parties; expected at least two, or there is nobody to hide among.")
    if len(set(publics.values())) != len(publics):
        raise SecaggError(
            "found one public key at two points; expected a fresh key of each party. Leave them both out."
        )


def require_lanes(lanes: Any, bits: Any) -> None:
    """Refuse all but a flat array of uint16 (up to 16 bits) or uint32 (up to 24) that can be changed in place."""
    if type(bits) is not int or not FEWEST_BITS <= bits <= MOST_BITS:
        raise SecaggError(f"found {bits!r} bits per lane; expected a whole number from {FEWEST_BITS} to {MOST_BITS}.")
    wanted = np.dtype(np.uint16 if bits <= 16 else np.uint32)
    if not isinstance(lanes, np.ndarray) or lanes.dtype != wanted or lanes.ndim != 1 or not lanes.size:
        found = f"{lanes.dtype} {lanes.shape}" if isinstance(lanes, np.ndarray) else type(lanes).__name__
        raise SecaggError(f"found lanes of {found}; expected {wanted} in one row, which is what {bits} bits need.")
    if not (lanes.flags.c_contiguous and lanes.flags.writeable and lanes.flags.aligned):
        raise SecaggError("found lanes that cannot be changed in place; expected a contiguous writable array. Copy it.")
