"""Keys are those of X25519 and HKDF, equal on both sides, different everywhere else; secrets do not print."""

import copy
import pickle

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from privacy.errors import PrivacyError, SecaggError
from privacy.noise import os_source
from privacy.secagg.secrets import Secrets, agree, derive, load, pair_key, pair_keys, public_key, self_key

# Points of order 1, 2, 4 and 8, also beyond the prime: cr.yp.to/ecdh.html, "validate".
LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
]


@pytest.fixture
def seeds():
    source = os_source()
    return [source.read(32) for _ in range(3)]


def test_both_sides_of_a_pair_derive_one_key(seeds):
    first, second, third = seeds
    key = pair_key(first, public_key(second), b"round 1")
    assert key == pair_key(second, public_key(first), b"round 1")
    assert len(key) == 16
    others = [pair_key(first, public_key(third), b"round 1"), pair_key(second, public_key(third), b"round 1")]
    assert len({key, *others}) == 3


def test_keys_differ_between_contexts_and_uses(seeds):
    first, second, _ = seeds
    keys = [pair_key(first, public_key(second), context) for context in (b"round 1", b"round 2", b"round 11")]
    keys += [self_key(first, context) for context in (b"round 1", b"round 2", b"round 11")]
    assert len(set(keys)) == 6


def test_a_key_that_served_as_self_seed_gives_no_key_of_a_pair(seeds):
    # The labels keep uses apart even where one secret goes into both.
    common = agree(load(seeds[0]), public_key(seeds[1]))
    assert self_key(common, b"c") not in {derive(common, 16, b"paceline/secagg/pair/1", b"c"), common[:16]}


def test_our_own_key_is_no_peers(seeds):
    with pytest.raises(SecaggError, match="public key of a peer is our own"):
        pair_key(seeds[0], public_key(seeds[0]), b"c")


def test_many_keys_at_once_are_those_of_each_pair(seeds):
    first, *others = seeds
    peers = [public_key(seed) for seed in others]
    assert pair_keys(first, peers, b"c") == [pair_key(first, peer, b"c") for peer in peers]


def test_agreement_is_that_of_the_standard():
    # RFC 7748, §6.1.
    first = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    second = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    common = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert public_key(first).hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert agree(load(first), public_key(second)).hex() == common
    assert agree(load(second), public_key(first)).hex() == common


@pytest.mark.parametrize("point", LOW_ORDER)
def test_keys_of_low_order_are_refused(seeds, point):
    with pytest.raises(SecaggError, match="small subgroup"):
        agree(load(seeds[0]), bytes.fromhex(point))
    with pytest.raises(SecaggError, match="small subgroup"):
        pair_key(seeds[0], bytes.fromhex(point), b"round 1")


def test_derivation_is_bound_to_where_each_part_begins():
    assert derive(b"s" * 32, 16, b"ab", b"c") != derive(b"s" * 32, 16, b"a", b"bc")
    assert derive(b"s" * 32, 16, b"a") != derive(b"s" * 32, 16, b"a", b"")


def test_derivation_is_that_of_the_standard():
    # RFC 5869 with an empty salt; our info is each part behind its length.
    expected = HKDF(hashes.SHA256(), 16, None, b"\x02\0\0\0ab\x01\0\0\0c").derive(b"s" * 32)
    assert derive(b"s" * 32, 16, b"ab", b"c") == expected


@pytest.mark.parametrize("context", [b"", None, "round 1"])
def test_a_key_without_a_context_is_refused(seeds, context):
    with pytest.raises(SecaggError, match="no context"):
        pair_key(seeds[0], public_key(seeds[1]), context)
    with pytest.raises(SecaggError, match="no context"):
        self_key(seeds[0], context)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), None, "x" * 32])
def test_keys_of_another_size_are_refused(seeds, key):
    for call in (
        lambda: public_key(key),
        lambda: self_key(key, b"c"),
        lambda: pair_key(key, public_key(seeds[0]), b"c"),
        lambda: agree(load(seeds[0]), key),
        lambda: Secrets(key, seeds[0]),
        lambda: Secrets(seeds[0], key),
    ):
        with pytest.raises(SecaggError, match="expected 32 bytes"):
            call()


def test_fresh_secrets_are_all_different():
    source = os_source()
    made = [Secrets.fresh(source) for _ in range(5)]
    assert len({seed for secrets in made for seed in (secrets.mask_seed, secrets.self_seed)}) == 10


def test_one_seed_for_both_is_refused(seeds):
    with pytest.raises(SecaggError, match="one seed twice"):
        Secrets(seeds[0], seeds[0])


def test_a_source_that_falls_short_makes_no_secrets():
    class Short:
        def read(self, size_bytes: int) -> bytes:
            return bytes(size_bytes - 1)

    with pytest.raises(PrivacyError, match="instead of 32"):
        Secrets.fresh(Short())


def test_secrets_show_nothing_and_are_neither_copied_nor_pickled():
    secrets = Secrets.fresh(os_source())
    shown = f"{secrets} {secrets!r} {[secrets]}"
    assert shown == "Secrets() Secrets() [Secrets()]"
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(SecaggError, match="not copied or pickled"):
            act(secrets)


def test_errors_do_not_show_the_value():
    with pytest.raises(SecaggError) as caught:
        public_key(b"hunter2")
    assert "hunter2" not in str(caught.value)
