"""Flower's SecAgg+ as a peer: the functions that its modifier and its workflow call, in their order.

A party calls what `flwr.client.mod.secure_aggregation.secaggplus_mod` calls in `_setup`, `_share_keys` and
`_collect_masked_vectors`; the coordinator what `SecAggPlusWorkflow.unmask_stage` calls. Their messages, records and
serialisation are left out, which favours Flower. All with their default ranges.
"""

from collections.abc import Callable
from statistics import median

import numpy as np
from flwr.common import ndarray_to_bytes
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import decrypt, encrypt, generate_shared_key
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    parameters_addition,
    parameters_mod,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import dequantize, quantize
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen, share_keys_plaintext_concat
from flwr.supercore.primitives.asymmetric import (
    bytes_to_private_key,
    bytes_to_public_key,
    generate_key_pairs,
    private_key_to_bytes,
    public_key_to_bytes,
)

from simulations.benchmarks.record import timed

CLIPPING_RANGE, QUANTIZATION_RANGE, MODULUS_RANGE = 8.0, 2**22, 2**32
BITS = 32
SEED = b"s" * 32
Arrays = list[np.ndarray]


class Flower:
    """One party and the coordinator among `parties` of them, with vectors of `values` values."""

    def __init__(self, parties: int, values: int, threshold: int) -> None:
        self.parties, self.threshold = parties, threshold
        self.shape: list[tuple[int, ...]] = [(values,)]
        self.own, self.peers = _key_pair(), [_key_pair()[1] for _ in range(min(parties - 1, 8))]
        self.vector = [np.random.default_rng(1).normal(size=values)]
        self.integers = quantize(self.vector, CLIPPING_RANGE, QUANTIZATION_RANGE)
        self.shares = [create_shares(SEED, threshold, parties), create_shares(self.own[0], threshold, parties)]

    def peer(self, number: int) -> bytes:
        """The public key of a peer; a few keys serve all, for their number changes no time."""
        return self.peers[number % len(self.peers)]

    def share(self) -> list[bytes]:
        """Two key pairs, shares of two secrets, and a sealed message to each peer."""
        private, _ = _key_pair()
        _key_pair()
        seeds = create_shares(SEED, self.threshold, self.parties)
        keys = create_shares(private, self.threshold, self.parties)
        return [
            encrypt(self.agree(number), share_keys_plaintext_concat(1, 2, seeds[number], keys[number]))
            for number in range(self.parties - 1)
        ]

    def open(self) -> None:
        """What the peers sealed for this party."""
        data = encrypt(self.agree(0), share_keys_plaintext_concat(1, 2, self.shares[0][0], self.shares[1][0]))
        for _ in range(self.parties - 1):
            decrypt(self.agree(0), data)

    def agree(self, number: int) -> bytes:
        """The key that is shared with a peer, from bytes, as the modifier does it."""
        return generate_shared_key(bytes_to_private_key(self.own[0]), bytes_to_public_key(self.peer(number)))

    def quantise(self) -> Arrays:
        """Integers of the vector."""
        return quantize(self.vector, CLIPPING_RANGE, QUANTIZATION_RANGE)

    def mask(self) -> Arrays:
        """The integers with this party's mask and one for each pair, half of them added."""
        masked = parameters_addition(self.integers, pseudo_rand_gen(SEED, MODULUS_RANGE, self.shape))
        for number in range(self.parties - 1):
            pad = pseudo_rand_gen(self.agree(number), MODULUS_RANGE, self.shape)
            masked = (parameters_addition, parameters_subtraction)[number % 2](masked, pad)
        return parameters_mod(masked, MODULUS_RANGE)

    def join(self) -> None:
        """One secret of each party from the threshold of shares; unmask_stage passes all, which takes longer."""
        for _ in range(self.parties):
            combine_shares(self.shares[0][: self.threshold])

    def unmask(self, dropped: int) -> Arrays:
        """The masks that unmask_stage takes off: one for each survivor, one per peer for each dropped party."""
        total = self.integers
        for _ in range(self.parties - dropped):
            total = parameters_subtraction(total, pseudo_rand_gen(SEED, MODULUS_RANGE, self.shape))
        for _ in range(dropped):
            for number in range(self.parties - 1):
                pad = pseudo_rand_gen(self.agree(number), MODULUS_RANGE, self.shape)
                total = (parameters_addition, parameters_subtraction)[number % 2](total, pad)
        return dequantize(parameters_mod(total, MODULUS_RANGE), CLIPPING_RANGE, QUANTIZATION_RANGE)

    def sent_bytes(self) -> int:
        """What a party sends in one round: its array as Flower writes it, two keys, sealed shares, revealed shares."""
        array = sum(len(ndarray_to_bytes(part)) for part in self.mask())
        return array + 2 * len(self.own[1]) + sum(map(len, self.share())) + self.parties * len(self.shares[0][0])


def _key_pair() -> tuple[bytes, bytes]:
    private, public = generate_key_pairs()
    return private_key_to_bytes(private), public_key_to_bytes(public)


def seconds(action: Callable[[], object], times: int) -> float:
    """The median of the processor's seconds."""
    return median(timed(lambda _: action(), times).processor_s)
