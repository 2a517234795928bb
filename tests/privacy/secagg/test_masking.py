"""Masks vanish in the sum whoever drops, hide everything else, and are taken off nowhere else."""

import copy
import dataclasses
import hashlib

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from privacy.errors import SecaggError
from privacy.noise import os_source
from privacy.secagg.masking import MaskedShare, mask, unmask
from privacy.secagg.secrets import Secrets, pair_key, public_key, self_key
from privacy.secagg.shamir import join, split

LEAST_PROBABLE = 1e-6
SOURCE = os_source()
CONTEXT = b"task, round 3, attempt 1"
LARGER_THAN_A_CHUNK = 2**18 // 4 + 5


def width(bits):
    return np.dtype(np.uint16 if bits <= 16 else np.uint32)


def party_secrets(count):
    return {point: Secrets.fresh(SOURCE) for point in range(1, count + 1)}


def keys_of(parties):
    return {point: public_key(own.mask_seed) for point, own in parties.items()}


def bound_to(publics, context=CONTEXT):
    """What keys are derived from: the digest of the list of parties, then the context."""
    listed = b"".join(point.to_bytes(2, "little") + publics[point] for point in sorted(publics))
    return hashlib.sha256(listed).digest() + context


def stream(key, size_bytes):
    """AES-128 in counter mode from block 2, as a textbook has it: block 1 belongs to GCM's tag."""
    return Cipher(algorithms.AES(key), modes.CTR((2).to_bytes(16, "big"))).encryptor().update(bytes(size_bytes))


def vectors(count, size, bits, seed=1):
    drawn = np.random.default_rng(seed).integers(0, 2**bits, (count, size))
    return {point: row.astype(width(bits)) for point, row in enumerate(drawn, start=1)}


def summed(parts, bits):
    total = np.zeros_like(next(iter(parts.values())))
    for part in parts.values():
        total += part
    return total & total.dtype.type(2**bits - 1)


def masked_sum(values, parties, bits, context=CONTEXT):
    """What the coordinator holds of those in `values`: the sum of their masked vectors."""
    publics = keys_of(parties)
    total = np.zeros_like(next(iter(values.values())))
    for point, value in values.items():
        total += mask(value.copy(), bits, parties[point], point, publics, context).lanes
    return total


@pytest.mark.parametrize("count", range(3, 13))
def test_the_sum_is_exact_with_any_number_dropped_down_to_the_threshold(count):
    threshold, everybody, parties = 2 * count // 3 + 1, range(1, count + 1), party_secrets(count)
    shares = {
        point: [split(seed, threshold, everybody, SOURCE) for seed in (own.self_seed, own.mask_seed)]
        for point, own in parties.items()
    }
    for gone in range(count - threshold + 1):
        order = (np.random.default_rng(gone).permutation(count) + 1).tolist()
        dropped, alive = order[:gone], order[gone:]
        restored = {
            point: join({sender: shares[point][point in dropped][sender] for sender in alive[:threshold]}, threshold)
            for point in parties
        }
        seeds, lost = ({point: restored[point] for point in some} for some in (alive, dropped))
        for bits in range(4, 25):
            values = {point: vector for point, vector in vectors(count, 11, bits).items() if point in alive}
            found = unmask(masked_sum(values, parties, bits), bits, seeds, lost, keys_of(parties), CONTEXT)
            np.testing.assert_array_equal(found, summed(values, bits))


@settings(max_examples=40, deadline=None)
@given(
    bits=st.integers(4, 24),
    size=st.sampled_from([1, 2, 7, 8, 9, 100]),
    points=st.lists(st.integers(1, 65_535), min_size=2, max_size=6, unique=True),
    data=st.data(),
)
def test_the_sum_is_exact_at_any_width_size_and_points(bits, size, points, data):
    parties = {point: Secrets.fresh(SOURCE) for point in points}
    alive = data.draw(st.lists(st.sampled_from(points), min_size=1, unique=True))
    values = dict(zip(alive, vectors(len(alive), size, bits).values(), strict=True))
    seeds = {point: parties[point].self_seed for point in alive}
    lost = {point: parties[point].mask_seed for point in points if point not in alive}
    total = masked_sum(values, parties, bits)
    found = unmask(total, bits, seeds, lost, keys_of(parties), CONTEXT)
    assert found is total
    np.testing.assert_array_equal(found, summed(values, bits))


@pytest.mark.parametrize("bits", [16, 20])
@pytest.mark.parametrize("size", [LARGER_THAN_A_CHUNK, 2 * LARGER_THAN_A_CHUNK])
def test_vectors_longer_than_a_chunk_are_masked_to_their_end(bits, size):
    parties, values = party_secrets(3), vectors(3, size, bits)
    one = mask(values[1].copy(), bits, parties[1], 1, keys_of(parties), CONTEXT).lanes
    assert (one[-64:] != values[1][-64:]).any()
    seeds = {point: own.self_seed for point, own in parties.items()}
    found = unmask(masked_sum(values, parties, bits), bits, seeds, {}, keys_of(parties), CONTEXT)
    np.testing.assert_array_equal(found, summed(values, bits))


@pytest.mark.parametrize("bits", [8, 20])
def test_masks_are_those_of_the_plain_formula(bits):
    parties, size = party_secrets(4), LARGER_THAN_A_CHUNK
    publics, kind = keys_of(parties), width(bits)

    def plain(key):
        return np.frombuffer(stream(key, size * kind.itemsize), kind.newbyteorder("<"))

    expected = plain(self_key(parties[2].self_seed, bound_to(publics))).astype(kind)
    for peer in (1, 3, 4):
        pad = plain(pair_key(parties[2].mask_seed, publics[peer], bound_to(publics)))
        expected = expected + pad if peer > 2 else expected - pad
    found = mask(np.zeros(size, kind), bits, parties[2], 2, publics, CONTEXT).lanes
    np.testing.assert_array_equal(found, expected & kind.type(2**bits - 1))


@pytest.mark.parametrize("bits", [4, 8, 12, 16, 20, 24])
def test_a_masked_vector_is_uniform_whatever_is_in_it(bits):
    parties = party_secrets(3)
    for value in (0, 1, 2**bits - 1):
        lanes = np.full(60_000, value, width(bits))
        found = mask(lanes, bits, parties[1], 1, keys_of(parties), b"uniform, %d" % value).lanes
        assert found.max() < 2**bits
        for shift in {0, bits - 4}:
            counts = np.bincount((found >> shift) & 15, minlength=16)
            assert stats.chisquare(counts).pvalue > LEAST_PROBABLE


def test_masks_of_two_rounds_two_parties_and_neighbouring_lanes_are_independent():
    parties, bits, size = party_secrets(3), 8, 100_000
    publics = keys_of(parties)
    first, second = (mask(np.zeros(size, np.uint16), bits, parties[1], 1, publics, c).lanes for c in (b"a", b"b"))
    other = mask(np.zeros(size, np.uint16), bits, parties[2], 2, publics, b"a").lanes
    for left, right in ((first, second), (first, other), (first[:-1], first[1:])):
        table = np.bincount((left >> 4) * 16 + (right >> 4), minlength=256).reshape(16, 16)
        assert stats.chi2_contingency(table).pvalue > LEAST_PROBABLE


def test_one_context_twice_gives_one_mask_so_that_contexts_must_differ():
    parties, values = party_secrets(3), vectors(2, 50, 16)
    publics = keys_of(parties)
    first, second = (mask(value.copy(), 16, parties[1], 1, publics, CONTEXT).lanes for value in values.values())
    np.testing.assert_array_equal(first - second, values[1] - values[2])
    other = mask(values[2].copy(), 16, parties[1], 1, publics, b"another").lanes
    assert (first - other != values[1] - values[2]).mean() > 0.9


def test_two_lists_of_parties_have_no_mask_in_common():
    # Else a coordinator that asks twice, with a party of its own exchanged, would see the difference of two vectors.
    parties, size = party_secrets(4), 1000
    publics = keys_of(parties)
    first, second = (
        mask(np.zeros(size, np.uint16), 16, parties[1], 1, {point: publics[point] for point in points}, CONTEXT).lanes
        for points in ((1, 2, 3), (1, 2, 4))
    )
    known = [stream(pair_key(parties[1].mask_seed, publics[point], CONTEXT), 2 * size) for point in (3, 4)]
    left = [masked - np.frombuffer(pad, "<u2") for masked, pad in zip((first, second), known, strict=True)]
    assert (left[0] != left[1]).mean() > 0.9


def test_without_the_own_mask_the_masks_of_pairs_alone_would_not_protect_a_late_party():
    # Bonawitz et al. 2017, §4.0.3: a vector that arrives after its sender was declared dropped stays hidden.
    parties, values = party_secrets(3), vectors(1, 1000, 16)
    publics = keys_of(parties)
    late = mask(values[1].copy(), 16, parties[1], 1, publics, CONTEXT).lanes.copy()
    for peer in (2, 3):
        key = pair_key(parties[1].mask_seed, publics[peer], bound_to(publics))
        late -= np.frombuffer(stream(key, 2000), "<u2")
    assert (late != values[1]).mean() > 0.9


def test_swapped_parties_do_not_give_the_sum():
    parties, values = party_secrets(3), vectors(3, 1000, 8)
    publics = keys_of(parties)
    seeds = {point: own.self_seed for point, own in parties.items()}
    total = masked_sum({point: values[point] for point in (2, 3)}, parties, 8)
    wrong = unmask(total, 8, {point: seeds[point] for point in (1, 3)}, {2: parties[2].mask_seed}, publics, CONTEXT)
    assert (wrong != summed({point: values[point] for point in (2, 3)}, 8)).mean() > 0.9
    with pytest.raises(SecaggError, match="key at our point 2 is not ours"):
        mask(values[1], 8, parties[1], 2, publics, CONTEXT)


def test_a_point_that_is_not_ours_or_not_there_is_refused_and_nothing_is_masked():
    parties, values = party_secrets(3), vectors(3, 20, 8)
    publics, before = keys_of(parties), values[1].copy()
    for other in (publics | {1: publics[2], 2: publics[1]}, {2: publics[2], 3: publics[3]}):
        with pytest.raises(SecaggError, match="key at our point 1 is not ours"):
            mask(values[1], 8, parties[1], 1, other, CONTEXT)
    np.testing.assert_array_equal(values[1], before)


def test_a_peer_of_low_order_is_refused_and_nothing_is_masked():
    parties, values = party_secrets(3), vectors(1, 20, 8)
    before = values[1].copy()
    with pytest.raises(SecaggError, match="small subgroup"):
        mask(values[1], 8, parties[1], 1, keys_of(parties) | {3: bytes(32)}, CONTEXT)
    np.testing.assert_array_equal(values[1], before)


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lambda keys: {1: keys[1]}, "found 1 parties; expected at least two"),
        (lambda keys: {}, "found 0 parties; expected at least two"),
        (lambda keys: keys | {3: keys[2]}, "one public key at two points"),
        (lambda keys: keys | {0: bytes(32)}, "expected distinct whole numbers from 1"),
        (lambda keys: keys | {3: keys[3][:31]}, "found 31 bytes as public key of point 3"),
        (lambda keys: keys | {3: None}, "found NoneType as public key of point 3"),
    ],
)
def test_public_keys_that_would_not_hide_are_refused(edit, text):
    parties = party_secrets(3)
    publics, seeds = edit(keys_of(parties)), {point: own.self_seed for point, own in parties.items()}
    with pytest.raises(SecaggError, match=text):
        mask(np.zeros(5, np.uint16), 8, parties[1], 1, publics, CONTEXT)
    with pytest.raises(SecaggError, match=text):
        unmask(np.zeros(5, np.uint16), 8, seeds, {}, publics, CONTEXT)


def read_only():
    lanes = np.zeros(6, np.uint16)
    lanes.setflags(write=False)
    return lanes


@pytest.mark.parametrize(
    ("lanes", "bits", "text"),
    [
        (np.zeros(6, np.uint16), 3, "found 3 bits per lane"),
        (np.zeros(6, np.uint32), 25, "found 25 bits per lane"),
        (np.zeros(6, np.uint16), 8.0, "found 8.0 bits per lane"),
        (np.zeros(6, np.uint16), True, "found True bits per lane"),
        (np.zeros(6, np.uint16), 17, r"found lanes of uint16 \(6,\); expected uint32"),
        (np.zeros(6, np.uint32), 16, r"found lanes of uint32 \(6,\); expected uint16"),
        (np.zeros(6, np.int32), 17, "found lanes of int32"),
        (np.zeros(6, ">u4"), 17, "found lanes of >u4"),
        (np.zeros((2, 3), np.uint16), 8, r"found lanes of uint16 \(2, 3\)"),
        (np.zeros(0, np.uint16), 8, r"found lanes of uint16 \(0,\)"),
        ([0] * 6, 8, "found lanes of list"),
        (np.zeros(12, np.uint16)[::2], 8, "cannot be changed in place"),
        (read_only(), 8, "cannot be changed in place"),
        (np.frombuffer(bytearray(13), np.uint16, 6, offset=1), 8, "cannot be changed in place"),
    ],
)
def test_lanes_of_another_kind_are_refused(lanes, bits, text):
    parties = party_secrets(3)
    seeds = {point: own.self_seed for point, own in parties.items()}
    with pytest.raises(SecaggError, match=text):
        mask(lanes, bits, parties[1], 1, keys_of(parties), CONTEXT)
    with pytest.raises(SecaggError, match=text):
        unmask(lanes, bits, seeds, {}, keys_of(parties), CONTEXT)


def test_a_lane_beyond_its_bits_is_refused():
    parties, lanes = party_secrets(3), np.array([0, 255, 256], np.uint16)
    with pytest.raises(SecaggError, match="a lane beyond 8 bits; expected numbers modulo 2"):
        mask(lanes, 8, parties[1], 1, keys_of(parties), CONTEXT)
    assert lanes.tolist() == [0, 255, 256]


@pytest.mark.parametrize("context", [b"", None, "round"])
def test_a_missing_context_is_refused(context):
    parties = party_secrets(3)
    seeds = {point: own.self_seed for point, own in parties.items()}
    with pytest.raises(SecaggError, match="no context"):
        mask(np.zeros(5, np.uint16), 8, parties[1], 1, keys_of(parties), context)
    with pytest.raises(SecaggError, match="no context"):
        unmask(np.zeros(5, np.uint16), 8, seeds, {}, keys_of(parties), context)


@pytest.mark.parametrize(
    ("alive", "gone"),
    [
        ((1, 2), ()),
        ((1, 2, 3), (3,)),
        ((), (1, 2, 3)),
        ((1, 2, 3, 4), ()),
        ((1, 2), (3, 4)),
        ((1, 2), (4,)),
        ((1, 2, 4), (3,)),
    ],
)
def test_everybody_is_in_the_sum_or_dropped_and_nobody_both(alive, gone):
    parties = party_secrets(4)
    publics = {point: key for point, key in keys_of(parties).items() if point < 4}
    total = np.zeros(5, np.uint16)
    seeds = {point: parties[point].self_seed for point in alive}
    lost = {point: parties[point].mask_seed for point in gone}
    with pytest.raises(SecaggError, match="expected each of"):
        unmask(total, 8, seeds, lost, publics, CONTEXT)
    assert not total.any()


def test_a_wrong_mask_seed_of_a_dropped_party_is_found_and_nothing_is_unmasked():
    parties, total = party_secrets(3), np.zeros(5, np.uint16)
    seeds = {point: parties[point].self_seed for point in (1, 2)}
    with pytest.raises(SecaggError, match=r"mask seeds of points \[3\] do not fit their public keys"):
        unmask(total, 8, seeds, {3: parties[3].self_seed}, keys_of(parties), CONTEXT)
    assert not total.any()


def test_a_self_seed_of_another_size_is_refused():
    parties = party_secrets(3)
    seeds = {point: own.self_seed for point, own in parties.items()} | {2: b"short"}
    with pytest.raises(SecaggError, match="found 5 bytes as self seed of point 2"):
        unmask(np.zeros(5, np.uint16), 8, seeds, {}, keys_of(parties), CONTEXT)


def test_a_masked_share_is_made_by_mask_only_and_does_not_change():
    with pytest.raises(SecaggError, match="made by hand"):
        MaskedShare(np.zeros(3, np.uint16), 8, object())
    parties, lanes = party_secrets(3), np.zeros(3, np.uint16)
    share = mask(lanes, 8, parties[1], 1, keys_of(parties), CONTEXT)
    with pytest.raises(ValueError, match="seal"):
        dataclasses.replace(share, lanes=np.zeros(3, np.uint16))
    with pytest.raises(ValueError, match="read-only"):
        share.lanes[0] = 0
    assert repr(share) == "MaskedShare(3 lanes of 8 bits)"
    assert copy.copy(share).lanes is share.lanes


def test_no_vector_in_clear_stays_behind():
    parties, lanes = party_secrets(3), np.full(1000, 7, np.uint16)
    share = mask(lanes, 8, parties[1], 1, keys_of(parties), CONTEXT)
    assert share.lanes is lanes
    assert (lanes == 7).mean() < 0.1
    with pytest.raises(SecaggError, match="cannot be changed in place"):
        mask(lanes, 8, parties[1], 1, keys_of(parties), CONTEXT)
