"""Lanes: numbers modulo 2^bits of one fixed width, which add up under masks before anybody reads them.

A party's vector is scaled to the public clip, turned by URQ's two rotations, rounded at random to multiples of a public
step and taken modulo 2^bits (Bonawitz et al. 2019, "Federated Learning with Autotuned Communication-Efficient Secure
Aggregation"). The rounding decides which numbers the sum is made of, so its bits are secret and cryptographic.

The step follows from worst cases alone: sums of `parties` vectors that all point the same way. A coordinate of their
sum that passes half of 2^bits comes back a whole 2^bits away. Rounding included, it is a sum of bounded differences, so
it passes any bound at most `DOMINATED` times as often as a normal variable of the variance that `step` adds up (Pinelis
2006, "On normal domination of (super)martingales"). The probability is to be at most `WRAPPED`, and 4^-bits: then
wrapping adds less to the error than rounding does.

That variance is a coordinate's share of the whole, which the first rotation gives to vectors whose values stand
anywhere. Where all stand multiples of 512 places apart (the one column of a weight matrix that moved), blocks get more
or less than their share, and up to 0.3 % of the coordinates wrap if all parties send such a vector at the clip.

Packed: a lane's lowest bit first, lane after lane; the bits that fill the last byte are zero.
"""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from federation.codecs import rotation
from federation.codecs.checks import Data, Vector, require_vector
from federation.errors import WireError
from privacy.noise import RandomSource, words

Lanes = npt.NDArray[np.unsignedinteger[Any]]
"""(coordinates,), each below 2^bits: uint16 for at most 16 bits, else uint32."""
Reals = npt.NDArray[np.floating[Any]]
"""float32 or float64."""
SMALLEST_BITS, LARGEST_BITS = 4, 24
LARGEST_SIZE = 2**27
LARGEST = 2.0**96
"""Largest magnitude of a value, before it is clipped."""
WRAPPED = 1e-4
"""At most this part of a sum's coordinates wraps around, in the worst case."""
DOMINATED = 120 * (math.e / 5) ** 5
"""5! (e/5)^5 = 5.7: Pinelis' constant."""
_TOGETHER = 8
"""So many lanes fill whole bytes, whatever their bits."""
_SMALLEST_BLOCK = 32


def coordinates(size: int) -> int:
    """How many lanes a vector of `size` values takes: at most 2 % more from 25,600 values on.

    >>> coordinates(112), coordinates(84_000), coordinates(1_000_000)
    (128, 84480, 1003520)
    """
    return _layout(size).size


def spread(rows: Reals, shared_seed: int) -> Reals:
    """Each row (size,) turned by the same public rotation: (rows, coordinates), of the same L2 norms and type."""
    layout = _layout(rows.shape[1])
    turned = rotation.forward(rows, layout, shared_seed)
    turned /= layout.block
    return turned


def gather(vector: Reals, size: int, shared_seed: int) -> Reals:
    """The inverse of `spread` for one vector (coordinates,): (size,)."""
    layout = _layout(size)
    if vector.shape != (layout.size,):
        raise WireError(f"a vector of shape {vector.shape} for {size} values; expected {layout.size} coordinates.")
    gathered: Reals = rotation.backward(vector, layout, shared_seed)[:size] / vector.dtype.type(layout.block)
    return gathered


def step(size: int, clip: float, parties: int, bits: int) -> float:
    """What one unit of a lane is worth: the smallest step at which few enough coordinates of a sum wrap around.

    In steps, the rotated sum has a variance of at most (parties · clip / step)² / coordinates, and the rounding of each
    party one of 1/4. 2^(bits-1) has to be `reach` of their deviations.

    >>> round(step(1_000_000, 1.0, 10, 8) * coordinates(1_000_000) ** 0.5, 3)  # of deviations of one party
    0.367
    """
    require_bits(bits)
    reach = -NormalDist().inv_cdf(min(WRAPPED, 4.0**-bits) / DOMINATED / 2)
    room = (2 ** (bits - 1) / reach) ** 2 - parties / 4
    if not (parties >= 1 and 0 < clip < math.inf):
        raise WireError(f"lanes of {parties} parties with clip = {clip:g}; expected a party and a clip above 0.")
    if room <= 0:
        raise WireError(f"the rounding of {parties} parties alone overflows lanes of {bits} bits; write more up_bits.")
    return parties * clip / math.sqrt(coordinates(size) * room)


def to_lanes(  # the six public and secret numbers that make a lane
    vector: Vector, clip: float, parties: int, bits: int, shared_seed: int, source: RandomSource
) -> Lanes:
    """One party's vector (size,), scaled to an L2 norm of at most `clip`: (coordinates,), right on average."""
    require_vector(vector, LARGEST)
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    factor = min(1.0, clip / norm if norm else 1.0) / step(len(vector), clip, parties, bits)
    exact = spread(vector[None], shared_seed)[0].astype(np.float64)
    exact *= factor
    exact += words(-(-len(exact) // 2), source).view("<u4")[: len(exact)] * 2.0**-32
    return wrap(np.floor(exact, out=exact).astype(np.int64), bits)


def from_lanes(  # what `to_lanes` was told
    lanes: Lanes, size: int, clip: float, parties: int, bits: int, shared_seed: int
) -> Vector:
    """The sum of the vectors whose lanes were summed modulo 2^bits, of at most `parties` parties: float32 (size,)."""
    exact = gather(unwrap(lanes, bits).astype(np.float32), size, shared_seed)
    decoded: Vector = (exact * step(size, clip, parties, bits)).astype(np.float32)
    return decoded


def wrap(numbers: npt.NDArray[np.int64], bits: int) -> Lanes:
    """Whole numbers modulo 2^bits."""
    require_bits(bits)
    return (numbers & ((1 << bits) - 1)).astype(width(bits))


def unwrap(lanes: Lanes, bits: int) -> npt.NDArray[np.int64]:
    """The whole numbers -2^(bits-1) … 2^(bits-1) - 1 that are equal to the lanes modulo 2^bits."""
    _require_lanes(lanes, bits)
    half = 1 << (bits - 1)
    return (lanes.astype(np.int64) ^ half) - half


def require_bits(bits: float) -> None:
    """Raise `WireError` unless `bits` is a width that lanes can have."""
    if not (SMALLEST_BITS <= bits <= LARGEST_BITS and bits == int(bits)):
        raise WireError(f"a lane has {SMALLEST_BITS} to {LARGEST_BITS} bits, a whole number; found {bits:g}.")


def width(bits: int) -> type[np.uint16] | type[np.uint32]:
    """The type of lanes of so many bits."""
    return np.uint16 if bits <= 16 else np.uint32


def pack(lanes: Lanes, bits: int) -> bytes:
    """Exactly ⌈lanes · bits / 8⌉ bytes."""
    _require_lanes(lanes, bits)
    groups = -(-len(lanes) // _TOGETHER)
    padded = np.zeros((groups, _TOGETHER), lanes.dtype)
    padded.reshape(-1)[: len(lanes)] = lanes
    packed = np.zeros((groups, bits), np.uint8)
    for lane, byte, shift in _overlaps(bits):
        packed[:, byte] |= (padded[:, lane] >> shift if shift >= 0 else padded[:, lane] << -shift).astype(np.uint8)
    return packed.tobytes()[: -(-len(lanes) * bits // 8)]


def unpack(data: Data, count: int, bits: int) -> Lanes:
    """The `count` lanes of `data`; `WireError` unless it has exactly their bytes."""
    require_bits(bits)
    if count < 0 or len(data) != -(-count * bits // 8):
        raise WireError(
            f"{len(data)} bytes for {count} lanes of {bits} bits; expected exactly {-(-max(count, 0) * bits // 8)}."
        )
    groups = -(-count // _TOGETHER)
    packed = np.zeros((groups, bits), np.uint8)
    packed.reshape(-1)[: len(data)] = np.frombuffer(data, np.uint8)
    lanes = np.zeros((groups, _TOGETHER), width(bits))
    for lane, byte, shift in _overlaps(bits):
        column = packed[:, byte].astype(lanes.dtype)
        lanes[:, lane] |= column << shift if shift >= 0 else column >> -shift
    lanes &= (1 << bits) - 1
    if lanes.reshape(-1)[count:].any():
        raise WireError("the bits that fill the last byte of the lanes are not zero; leave the message out.")
    return lanes.reshape(-1)[:count]


def _layout(size: int) -> rotation.Shape:
    """URQ's layout, with smaller blocks for vectors that are smaller than its smallest one."""
    if not 1 <= size <= LARGEST_SIZE:
        raise WireError(f"a vector of {size} values; lanes take 1 to {LARGEST_SIZE}.")
    if size > min(rotation.BLOCKS):
        return rotation.shape(size, 1)
    return rotation.Shape(1, max(_SMALLEST_BLOCK, 1 << (size - 1).bit_length()))


def _require_lanes(lanes: Lanes, bits: int) -> None:
    require_bits(bits)
    if lanes.dtype != width(bits) or lanes.ndim != 1 or int(lanes.max(initial=0)) >> bits:
        raise WireError(
            f"{lanes.dtype} of shape {lanes.shape} is no vector of lanes below 2^{bits}; pass what wrap() makes."
        )


def _overlaps(bits: int) -> list[tuple[int, int, int]]:
    """Which of eight lanes shares bits with which of their bytes; how far the byte lies above the lane's lowest bit."""
    return [
        (lane, byte, 8 * byte - lane * bits)
        for lane in range(_TOGETHER)
        for byte in range(lane * bits // 8, -(-(lane + 1) * bits // 8))
    ]
