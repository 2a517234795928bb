"""Keys, shares, seals and masks are the bytes that every version agrees on."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from privacy.secagg import sealing, shamir
from privacy.secagg.masking import mask, unmask
from privacy.secagg.secrets import Secrets, pair_key, public_key, self_key

KNOWN = json.loads((Path(__file__).parents[2] / "vectors/secagg.json").read_text())
CONTEXT = bytes.fromhex(KNOWN["context"])
SEEDS = {int(point): [bytes.fromhex(seed) for seed in pair] for point, pair in KNOWN["seeds"].items()}
PUBLICS = {int(point): bytes.fromhex(key) for point, key in KNOWN["publics"].items()}


def test_keys_are_the_known_ones():
    assert {point: public_key(pair[0]) for point, pair in SEEDS.items()} == PUBLICS
    assert pair_key(SEEDS[1][0], PUBLICS[2], CONTEXT).hex() == KNOWN["pair_key_1_2"]
    assert pair_key(SEEDS[2][0], PUBLICS[1], CONTEXT).hex() == KNOWN["pair_key_1_2"]
    assert self_key(SEEDS[1][1], CONTEXT).hex() == KNOWN["self_key_1"]


def test_a_sealed_message_is_the_known_one():
    plaintext, data = bytes.fromhex(KNOWN["plaintext"]), bytes.fromhex(KNOWN["sealed"])
    sender, reader = map(bytes.fromhex, KNOWN["seal_keys"])
    assert sealing.seal(sender, public_key(reader), CONTEXT, plaintext) == data
    assert sealing.unseal(reader, public_key(sender), CONTEXT, data) == plaintext


def test_shares_are_the_known_ones():
    source = io.BytesIO(bytes.fromhex(KNOWN["coefficients"]))
    shares = shamir.split(SEEDS[1][0], KNOWN["threshold"], [1, 2, 3, 4, 5], source)
    assert {str(point): share.hex() for point, share in shares.items()} == KNOWN["shares"]
    assert shamir.join({point: shares[point] for point in (1, 4, 5)}, KNOWN["threshold"]) == SEEDS[1][0]


@pytest.mark.parametrize("bits", [int(bits) for bits in KNOWN["masked"]])
def test_masked_vectors_are_the_known_ones_and_their_sum_is_unmasked(bits):
    kind = np.dtype(np.uint16 if bits <= 16 else np.uint32)
    total = np.zeros(12, kind)
    for point, known in KNOWN["masked"][str(bits)].items():
        own = Secrets(*SEEDS[int(point)])
        found = mask(np.arange(12, dtype=kind), bits, own, int(point), PUBLICS, CONTEXT)
        assert found.lanes.tolist() == known
        total += found.lanes
    unmask(total, bits, {1: SEEDS[1][1], 2: SEEDS[2][1]}, {3: SEEDS[3][0]}, PUBLICS, CONTEXT)
    assert total.tolist() == [2 * lane % 2**bits for lane in range(12)]
