"""Lanes: numbers modulo 2^bits of one fixed width, which add up under masks before anybody reads them.

A lane is packed with its lowest bit first, lane after lane; the bits that fill the last byte are zero.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from federation.errors import WireError

Lanes = npt.NDArray[np.unsignedinteger[Any]]
"""(coordinates,), each below 2^bits: uint16 for at most 16 bits, else uint32."""
SMALLEST_BITS, LARGEST_BITS = 4, 24
_TOGETHER = 8
"""So many lanes fill whole bytes, whatever their bits."""


def require_bits(bits: float) -> None:
    """Raise `WireError` unless `bits` is a width that lanes can have."""
    if not (SMALLEST_BITS <= bits <= LARGEST_BITS and bits == int(bits)):
        raise WireError(f"a lane has {SMALLEST_BITS} to {LARGEST_BITS} bits, a whole number; found {bits:g}.")


def width(bits: int) -> type[np.uint16] | type[np.uint32]:
    """The type of lanes of so many bits."""
    return np.uint16 if bits <= 16 else np.uint32


def pack(lanes: Lanes, bits: int) -> bytes:
    """Exactly ⌈lanes · bits / 8⌉ bytes."""
    require_bits(bits)
    if lanes.dtype != width(bits) or lanes.ndim != 1 or (lanes >> bits).any():
        raise WireError(f"{lanes.dtype} of shape {lanes.shape} is no vector of lanes of {bits} bits.")
    groups = -(-len(lanes) // _TOGETHER)
    padded = np.zeros((groups, _TOGETHER), lanes.dtype)
    padded.reshape(-1)[: len(lanes)] = lanes
    packed = np.zeros((groups, bits), np.uint8)
    for lane, byte, shift in _overlaps(bits):
        packed[:, byte] |= (padded[:, lane] >> shift if shift >= 0 else padded[:, lane] << -shift).astype(np.uint8)
    return packed.tobytes()[: -(-len(lanes) * bits // 8)]


def unpack(data: bytes, count: int, bits: int) -> Lanes:
    """The `count` lanes of `data`; `WireError` unless it has exactly their bytes."""
    require_bits(bits)
    if count < 0 or len(data) != -(-count * bits // 8):
        raise WireError(
            f"{len(data)} bytes for {count} lanes of {bits} bits; expected exactly {-(-max(count, 0) * bits // 8)}."
        )
    groups = -(-count // _TOGETHER)
    packed = np.frombuffer(data.ljust(groups * bits, b"\0"), np.uint8).reshape(groups, bits)
    lanes = np.zeros((groups, _TOGETHER), width(bits))
    for lane, byte, shift in _overlaps(bits):
        column = packed[:, byte].astype(lanes.dtype)
        lanes[:, lane] |= column << shift if shift >= 0 else column >> -shift
    lanes &= (1 << bits) - 1
    if lanes.reshape(-1)[count:].any():
        raise WireError("the bits that fill the last byte of the lanes are not zero; leave the message out.")
    return lanes.reshape(-1)[:count]


def _overlaps(bits: int) -> list[tuple[int, int, int]]:
    """Which of eight lanes shares bits with which of their bytes; how far the byte lies above the lane's lowest bit."""
    return [
        (lane, byte, 8 * byte - lane * bits)
        for lane in range(_TOGETHER)
        for byte in range(lane * bits // 8, -(-(lane + 1) * bits // 8))
    ]
