"""Whoever reads a contract is told whom its promises rely on."""

import pytest

from federation.manifest import Manifest
from federation.terms import ExchangeTerms, PersonTerms, Unprotected
from federation.trust import honest_survivors, trust
from simulations.specimens import manifest, shared_manifest


def changed(base: Manifest, **parts: object) -> Manifest:
    return Manifest.model_validate(dict(base) | parts)


def test_noise_at_the_node_trusts_nobody() -> None:
    assert trust(manifest()).startswith("Trusted with this: nobody. Each node adds all of the noise")


def test_updates_without_noise_in_clear_trust_the_coordinator() -> None:
    words = trust(changed(manifest(), privacy=Unprotected(unit="none")))
    assert words.startswith("Trusted with this: the coordinator. It sees each party's update as it is")


@pytest.mark.parametrize(
    ("parties", "min_parties", "colluding", "honest"), [(3, 3, 1, 2), (6, 3, 1, 4), (6, 6, 2, 4), (10, 2, 3, 4)]
)
def test_shared_noise_trusts_as_many_survivors_as_its_shares_were_made_for(parties, min_parties, colluding, honest):
    task = shared_manifest(parties, colluding, min_parties)
    assert isinstance(task.privacy, PersonTerms)
    assert honest_survivors(task, task.privacy) == honest == max(2 * parties // 3 + 1, min_parties) - colluding
    words = trust(task)
    assert f"{parties - colluding} of {parties} parties that this node's owner confirmed by fingerprint" in words
    assert f"{honest} shares are enough" in words
    assert f"at least {honest} must be honest survivors" in words
    assert f"({2 * parties // 3 + 1} of {parties} open it, min_parties = {min_parties})" in words
    assert f"against the coordinator and {'one party' if colluding == 1 else f'{colluding} parties'} together" in words
    assert "could invent some" in words


def test_shared_noise_without_colluding_parties_says_that_each_party_knows_its_share() -> None:
    words = trust(shared_manifest(colluding=0))
    assert "the coordinator alone. It does not hold against the parties themselves" in words


def test_sums_without_noise_say_so() -> None:
    exchange = ExchangeTerms(up="lane", up_bits=16, secure=True, clip=1.0, min_parties=3)
    words = trust(changed(shared_manifest(), privacy=Unprotected(unit="none"), exchange=exchange))
    assert "3 of 6 parties that this node's owner confirmed by fingerprint" in words
    assert "While at most 3 side with the coordinator it sees sums over at least 5 parties and no update alone" in words
    assert "are not noised" in words
