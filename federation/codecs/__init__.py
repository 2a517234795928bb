"""The closed list of codecs: how a flat vector of float32 becomes bytes.

A codec is a pair of pure functions with four declared properties. The size of a vector is never read from the bytes:
both sides know it from the workload, so a decoder checks the length before it allocates anything.
"""

from collections.abc import Callable
from dataclasses import dataclass

from federation.codecs import fp16, fp32, int8
from federation.codecs.checks import Vector
from federation.errors import WireError

__all__ = ["CODECS", "Codec", "Vector", "find"]


@dataclass(frozen=True)
class Codec:
    """How vectors travel.

    `encode(vector, shared_seed)`: float32 (size,), finite, else `WireError`; `shared_seed` ≥ 0 is public randomness
    that both sides know. `decode(data, size, shared_seed)`: a new finite float32 (size,), else `WireError`.
    `unbiased`: the mean of the decoded vector over the seeds is the vector. `linear`: coded vectors may be summed
    before decoding (needed under secure aggregation). `max_bytes(size)`: no encoding is longer.
    """

    name: str
    lossless: bool
    unbiased: bool
    linear: bool
    encode: Callable[[Vector, int], bytes]
    decode: Callable[[bytes, int, int], Vector]
    max_bytes: Callable[[int], int]


CODECS = {
    codec.name: codec
    for codec in (
        Codec("fp32", True, True, False, fp32.encode, fp32.decode, fp32.max_bytes),
        Codec("fp16", False, False, False, fp16.encode, fp16.decode, fp16.max_bytes),
        Codec("int8", False, True, False, int8.encode, int8.decode, int8.max_bytes),
    )
}


def find(name: str) -> Codec:
    """The codec called `name`, or `WireError` that lists the known ones."""
    if name not in CODECS:
        raise WireError(f"codec {name[:40]!r} is unknown; this version knows {', '.join(CODECS)}.")
    return CODECS[name]
