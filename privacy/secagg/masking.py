"""Masks that vanish in the sum (Bonawitz et al. 2017, Fig. 4), on vectors of integers modulo 2^bits.

Each party adds its own mask and one per pair: the lower point adds, the higher subtracts. The coordinator takes the
own masks of those who answered off again, and the masks of pairs with those who dropped.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from privacy.errors import SecaggError
from privacy.secagg.checks import KEY_BYTES, Lanes, require_bytes, require_context, require_lanes, require_publics
from privacy.secagg.secrets import Secrets, pair_keys, public_key, self_key

_SEAL: Final = object()
_CHUNK_BYTES: Final = 2**18  # lanes, zeros and keystream together fit the second cache
_BLOCK_BYTES: Final = 16

Signed = tuple[bytes, Callable[..., Any]]
"""A mask's key with what is done with it: np.add or np.subtract."""


@dataclass(frozen=True, eq=False)
class MaskedShare:
    """A party's masked vector, that may leave the node. Only `mask` makes one."""

    lanes: Lanes
    bits: int
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise SecaggError("a MaskedShare was made by hand; expected one made by privacy.secagg.masking.mask().")
        self.lanes.setflags(write=False)

    def __repr__(self) -> str:
        return f"MaskedShare({self.lanes.size} lanes of {self.bits} bits)"


def mask(
    lanes: Lanes, bits: int, own: Secrets, point: int, publics: Mapping[int, bytes], context: bytes
) -> MaskedShare:
    """`lanes`, masked in place, so that no copy in clear stays behind.

    `publics` holds the mask key of everybody who takes part by point, ours too. `context` must be one that these
    secrets were never used with: the difference of two vectors under one mask is in clear.
    """
    require_lanes(lanes, bits)
    require_publics(publics)
    require_context(context)
    if publics.get(point) != public_key(own.mask_seed):
        raise SecaggError(f"the key at our point {point} is not ours; expected our own. Take no part in this round.")
    if lanes.max() >> bits:
        raise SecaggError(f"found a lane beyond {bits} bits; expected numbers modulo 2^{bits}. Reduce them first.")
    context = _bound_to(publics, context)
    keys: list[Signed] = [(self_key(own.self_seed, context), np.add)]
    peers = [peer for peer in publics if peer != point]
    common = pair_keys(own.mask_seed, [publics[peer] for peer in peers], context)
    keys += [(key, np.add if point < peer else np.subtract) for peer, key in zip(peers, common, strict=True)]
    _apply(lanes, bits, keys)
    return MaskedShare(lanes, bits, _SEAL)


def unmask(
    total: Lanes,
    bits: int,
    self_seeds: Mapping[int, bytes],
    dropped: Mapping[int, bytes],
    publics: Mapping[int, bytes],
    context: bytes,
) -> Lanes:
    """The sum in clear, in place of `total`: the sum of the masked vectors of all points of `self_seeds`.

    `dropped` holds the mask seeds of those of `publics` whose vector is not in the sum. Each of them costs as many
    masks as there are vectors in it.
    """
    require_lanes(total, bits)
    require_publics(publics)
    require_context(context)
    _require_parts(self_seeds, dropped, publics)
    context = _bound_to(publics, context)
    keys: list[Signed] = [(self_key(seed, context), np.subtract) for seed in self_seeds.values()]
    for gone, seed in dropped.items():
        common = pair_keys(seed, [publics[point] for point in self_seeds], context)
        keys += [(key, np.subtract if point < gone else np.add) for point, key in zip(self_seeds, common, strict=True)]
    _apply(total, bits, keys)
    return total


def _require_parts(self_seeds: Mapping[int, bytes], dropped: Mapping[int, bytes], publics: Mapping[int, bytes]) -> None:
    """Everybody is in the sum or has dropped, nobody both, and the seeds are those of the published keys."""
    missing = publics.keys() - self_seeds.keys() - dropped.keys()
    if missing or len(self_seeds) + len(dropped) != len(publics) or not self_seeds:
        raise SecaggError(
            f"found seeds of {sorted(self_seeds)} in the sum and {sorted(dropped)} dropped; expected each of "
            f"{sorted(publics)} once, and somebody in the sum. Ask again for what is missing."
        )
    for point, seed in self_seeds.items():
        require_bytes(f"self seed of point {point}", seed, KEY_BYTES)
    wrong = [point for point, seed in dropped.items() if public_key(seed) != publics[point]]
    if wrong:
        raise SecaggError(
            f"the mask seeds of points {wrong} do not fit their public keys: wrong shares were sent. "
            "Nothing was unmasked; give the round up, and look at who sent what."
        )


def _bound_to(publics: Mapping[int, bytes], context: bytes) -> bytes:
    """The context, with everybody's point and key: two lists of parties have no mask in common."""
    listed = b"".join(point.to_bytes(2, "little") + publics[point] for point in sorted(publics))
    return hashlib.sha256(listed).digest() + context


def _apply(lanes: Lanes, bits: int, keys: Sequence[Signed]) -> None:
    """Add or subtract all masks, chunk by chunk, while a chunk is in the cache; then reduce it modulo 2^bits."""
    streams = [(_keystream(key), combine) for key, combine in keys]
    zeros, buffer = memoryview(bytes(_CHUNK_BYTES)), bytearray(_CHUNK_BYTES + _BLOCK_BYTES - 1)
    pad = np.frombuffer(buffer, lanes.dtype.newbyteorder("<"), _CHUNK_BYTES // lanes.itemsize)
    modulus = lanes.dtype.type(2**bits - 1)
    for start in range(0, lanes.size, pad.size):
        part = lanes[start : start + pad.size]
        for stream, combine in streams:
            stream.update_into(zeros[: part.nbytes], buffer)
            combine(part, pad[: part.size], out=part)
        np.bitwise_and(part, modulus, out=part)


def _keystream(key: bytes) -> Any:
    """AES-128 in counter mode from block 2: that of GCM, whose tag nobody asks for.

    OpenSSL has GCM, not CTR, in the widest instructions: 25 against 11 GB/s.
    """
    return Cipher(algorithms.AES(key), modes.GCM(bytes(12))).encryptor()
