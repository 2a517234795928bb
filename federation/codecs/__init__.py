"""The closed list of codecs: how a flat vector of float32 becomes bytes.

A codec is a pair of pure functions with four declared properties. The size of a vector is never read from the bytes:
both sides know it from the workload, so a decoder checks the length before it allocates anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from federation.codecs import ecq, int8_block, raw16, raw32, urq
from federation.codecs.checks import Data, Vector
from federation.errors import WireError

__all__ = ["BUDGETED", "CODECS", "LARGEST_BITS", "SMALLEST_BITS", "Codec", "Data", "Vector", "find"]


@dataclass(frozen=True)
class Codec:
    """How vectors travel.

    `encode(vector, shared_seed)`: float32 (size,), finite, else `WireError`; `shared_seed` ≥ 0 is public randomness
    that both sides know. `decode(data, size, shared_seed)`: finite float32 (size,) to read only, else `WireError`.
    `unbiased`: the mean of the decoded vector over the seeds is the vector. `linear`: coded vectors may be summed
    before decoding (needed under secure aggregation). `max_bytes(size)`: no encoding is longer.
    """

    name: str
    lossless: bool
    unbiased: bool
    linear: bool
    encode: Callable[[Vector, int], bytes]
    decode: Callable[[Data, int, int], Vector]
    max_bytes: Callable[[int], int]


CODECS = {
    codec.name: codec
    for codec in (
        Codec("raw32", True, True, False, raw32.encode, raw32.decode, raw32.max_bytes),
        Codec("raw16", False, False, False, raw16.encode, raw16.decode, raw16.max_bytes),
        Codec("int8_block", False, True, False, int8_block.encode, int8_block.decode, int8_block.max_bytes),
    )
}


SMALLEST_BITS, LARGEST_BITS = 0.01, 8.0
"""Budgets in bits per value that a task may name; for some codecs fewer."""
_MOST_BITS = {"urq": 4.0, "ecq": LARGEST_BITS}


def _urq(bits: float) -> Codec:
    return Codec(
        "urq", False, True, False, partial(urq.encode, bits), partial(urq.decode, bits), partial(urq.max_bytes, bits)
    )


def _ecq(bits: float) -> Codec:
    return Codec(
        "ecq", False, False, False, partial(ecq.encode, bits), partial(ecq.decode, bits), partial(ecq.max_bytes, bits)
    )


BUDGETED: dict[str, Callable[[float], Codec]] = {"urq": _urq, "ecq": _ecq}
"""Codecs that are told how many bits per value they may take."""


def find(name: str, bits: float = 0.0) -> Codec:
    """The codec called `name`; `bits` per value where it has a budget, else 0. `WireError` if there is none such.

    Lanes are none: they add up before they are decoded (`federation.codecs.lane`).
    """
    if name in BUDGETED:
        if not SMALLEST_BITS <= bits <= _MOST_BITS[name]:
            raise WireError(
                f"codec {name} takes {SMALLEST_BITS:g} to {_MOST_BITS[name]:g} bits per value, not {bits:g}."
            )
        return BUDGETED[name](bits)
    if name not in CODECS:
        raise WireError(f"codec {name[:40]!r} is unknown; this version knows {', '.join((*CODECS, *BUDGETED))}.")
    if bits:
        raise WireError(f"codec {name} has no budget, but {bits:g} bits per value were named; name 0, or urq or ecq.")
    return CODECS[name]
