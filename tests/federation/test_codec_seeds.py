"""Public randomness of codecs: one for what is shared, another for each party's update."""

import numpy as np

from federation import codecs
from federation.codecs.seeds import own_seed, shared_seed
from federation.ids import PartyId

NONCE = "00112233445566778899aabbccddeeff"
ALICE, BOB = PartyId("alice"), PartyId("bob")


def test_seeds_are_those_that_every_version_draws():
    assert shared_seed(NONCE) == 0x0011223344556677
    assert own_seed(NONCE, ALICE) == 0x3C21CC1CA3F5BDC6


def test_parties_and_questions_have_seeds_of_their_own():
    seeds = {own_seed(nonce, party) for nonce in (NONCE, NONCE[::-1]) for party in (ALICE, BOB)}
    assert len(seeds | {shared_seed(NONCE)}) == 5


def test_errors_of_parties_that_agree_fade_in_the_mean():
    vector = np.random.default_rng(1).standard_normal(4096).astype(np.float32)
    codec, parties = codecs.find("urq", 0.1), [PartyId(f"party-{number}") for number in range(16)]
    seeds = [own_seed(NONCE, party) for party in parties]
    came = [codec.decode(codec.encode(vector, seed), len(vector), seed) for seed in seeds]
    one = np.mean([np.square(update - vector).sum() for update in came])
    mean = np.square(np.mean(came, axis=0) - vector).sum()
    assert mean < 2 * one / len(parties)
