"""Wrong shares are left out of a sum as long as right ones outnumber them by enough, wherever their senders stand."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import shake_256

import numpy as np
import pytest

from federation import quorum, secure
from federation.codecs import lane
from federation.errors import SecaggError
from federation.ids import PartyId
from federation.manifest import Manifest
from federation.messages import TrainRequest
from privacy.secagg import shamir
from privacy.secagg.masking import mask
from privacy.secagg.secrets import Secrets, public_key
from server.shares import DealtWrongly, Shares
from simulations import secure_specimens
from simulations.seeded import SeededSource
from simulations.specimens import identity, shared_manifest

SIZE, SHARE = 20, shamir.SHARE_BYTES


@dataclass(frozen=True)
class Stage:
    """A round that is masked, with what everybody would open of everybody's own mask."""

    manifest: Manifest
    question: TrainRequest
    total: lane.Lanes
    opened: Mapping[PartyId, bytes]

    def bare(self, opened: Mapping[PartyId, bytes]) -> lane.Lanes:
        parties = tuple(secure.points(self.manifest))
        return Shares(self.manifest, self.question, parties, opened).bare(self.total.copy(), SIZE)


def masked(parties: int) -> Stage:
    manifest, source = shared_manifest(parties=parties, colluding=1), SeededSource(5)
    points, needed = secure.points(manifest), quorum.threshold(parties)
    own = {party: Secrets.fresh(source) for party in points}
    asked = secure_specimens.train_request().model_dump() | {"task": manifest.digest()}
    keys = {party: public_key(one.mask_seed) for party, one in own.items()}
    at = (asked["task"], asked["attempt"])
    roster = tuple(
        secure.advertise(identity(party), party, at, keys[party], one.self_seed) for party, one in own.items()
    )
    question = TrainRequest.model_validate(asked | {"roster": roster})
    publics, context = {points[party]: key for party, key in keys.items()}, secure.context(question)
    total = np.zeros(lane.coordinates(SIZE), np.uint16)
    for party, one in own.items():
        total += mask(np.arange(len(total), dtype=np.uint16), 16, one, points[party], publics, context).lanes
    dealt = [shamir.split(one.self_seed, needed, list(points.values()), source) for one in own.values()]
    opened = {party: b"".join(shares[point] for shares in dealt) for party, point in points.items()}
    return Stage(manifest, question, total, opened)


STAGES = {parties: masked(parties) for parties in (4, 10, 16)}


def lied(stage: Stage, liars: Collection[int]) -> dict[PartyId, bytes]:
    """What the parties at these places open has nothing to do with their shares."""
    return {
        party: b"".join(shake_256(data[start : start + SHARE]).digest(SHARE - 1) + b"\0" for start in places)
        if place in liars
        else data
        for place, (party, data) in enumerate(stage.opened.items())
        for places in [range(0, len(data), SHARE)]
    }


@pytest.mark.parametrize(
    ("parties", "liars"),
    [(4, {0}), (4, {3}), (10, {0, 1, 2}), (10, {4, 9}), (16, {0, 1}), (16, {0, 7, 15}), (16, {13, 14, 15})],
)
def test_the_sum_is_bared_though_parties_open_wrong_shares(parties: int, liars: set[int]) -> None:
    stage = STAGES[parties]
    assert np.array_equal(stage.bare(lied(stage, liars)), stage.bare(stage.opened))


def test_too_many_wrong_shares_bare_nothing_and_name_the_first_dealer_whom_they_concern() -> None:
    stage = STAGES[10]
    with pytest.raises(DealtWrongly, match="10 shares of the secrets of runners-1 came, of which 7 must") as found:
        stage.bare(lied(stage, {0, 2, 4, 6}))
    assert found.value.dealer == PartyId("runners-1")


def test_no_dealer_is_blamed_where_too_few_parties_opened_anything() -> None:
    stage = STAGES[10]
    few = dict(list(stage.opened.items())[:6])
    with pytest.raises(SecaggError, match=r"6 shares .* of which 7 must fit together; too few parties opened") as found:
        stage.bare(few)
    assert not isinstance(found.value, DealtWrongly)


def test_no_dealer_is_blamed_where_one_party_that_opens_wrong_shares_could_have_it_left_out() -> None:
    stage = STAGES[10]
    just_enough = dict(list(lied(stage, {3}).items())[:7])
    with pytest.raises(SecaggError, match="who dealt or opened a wrong one is not told") as found:
        stage.bare(just_enough)
    assert not isinstance(found.value, DealtWrongly)
