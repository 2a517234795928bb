"""A sum that nobody saw the parts of is cut to what honest parties can reach, and honest sums never are."""

import numpy as np
import pytest

from federation.codecs import lane
from federation.ids import PartyId
from federation.terms import ExchangeTerms
from server import robust
from simulations.seeded import SeededSource
from simulations.specimens import manifest, members, shared_manifest

SIZE, CLIP = 3000, 2.0


def clipped(bits: int):
    exchange = ExchangeTerms(up="lane", up_bits=bits, secure=True, clip=CLIP, min_parties=1)
    return manifest().model_copy(update={"exchange": exchange})


@pytest.mark.parametrize("bits", [6, 8, 16])
def test_the_sum_of_parties_at_the_clip_in_one_direction_is_not_cut(bits: int) -> None:
    task = clipped(bits)
    parties = [member.party for member in task.contributors()]
    vector = np.full(SIZE, 1.0, np.float32)
    lanes = [lane.to_lanes(vector, CLIP, len(parties), bits, 7, SeededSource(number)) for number in range(len(parties))]
    total = np.sum(lanes, axis=0, dtype=lane.width(bits))
    summed = lane.from_lanes(total & (2**bits - 1), SIZE, CLIP, len(parties), bits, 7)
    assert robust.cut(summed, robust.longest_sum(task, parties, SIZE)) == 1.0


def test_a_party_that_fills_the_lanes_moves_the_sum_by_no_more_than_all_parties_could() -> None:
    task = clipped(8)
    parties = [member.party for member in task.contributors()]
    full = np.random.default_rng(1).integers(0, 2**8, lane.coordinates(SIZE)).astype(np.uint16)
    summed = lane.from_lanes(full, SIZE, CLIP, len(parties), 8, 7)
    limit = robust.longest_sum(task, parties, SIZE)
    left = robust.cut(summed, limit)
    assert left < 1
    assert left * np.linalg.norm(summed) == pytest.approx(limit)
    assert limit < 1.1 * len(parties) * CLIP


def test_shared_noise_of_all_parties_and_all_their_people_is_not_cut() -> None:
    task = shared_manifest()
    terms = task.privacy
    parties = [PartyId(f"runners-{number}") for number in range(1, 7)]
    limit = robust.longest_sum(task, parties, SIZE)
    honest = 5 - terms.colluding
    dice = np.random.default_rng(3)
    for _ in range(20):
        noise = dice.normal(0, terms.noise_multiplier * np.sqrt(6 / honest), SIZE)
        noise[0] += dice.binomial(300, terms.sampling_rate)
        assert robust.cut((terms.clip * noise).astype(np.float32), limit) == 1.0
    assert robust.cut(np.full(SIZE, limit, np.float32), limit) < 1


def test_fewer_survivors_reach_less_far() -> None:
    task = clipped(8)
    parties = [member.party for member in task.contributors()]
    assert len(parties) >= 2, members()
    assert robust.longest_sum(task, parties[:-1], SIZE) < robust.longest_sum(task, parties, SIZE)
