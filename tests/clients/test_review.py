"""What a contract's reader is told leaves the node."""

from types import SimpleNamespace

from clients.pinned import Members
from clients.policy import Policy
from clients.review import _heard_of, _known, _leaves, _privacy
from federation.roles import Role
from federation.terms import ExchangeTerms
from simulations import specimens


def test_the_codec_and_its_budget_are_told():
    task = specimens.manifest()
    assert "noised, coded as int8_block; a keyed commitment" in _leaves(task, Role.DATA_PROVIDER)
    few = task.model_copy(update={"exchange": ExchangeTerms(up="urq", up_bits=0.25, min_parties=2)})
    assert "coded as urq in about 0.25 bits per number; a keyed" in _leaves(few, Role.DATA_PROVIDER)


def test_a_share_of_the_noise_under_a_mask_is_told():
    told = _leaves(specimens.shared_manifest(), Role.DATA_PROVIDER)
    assert (
        "summed over people and noised with this node's share under a mask that only a sum over parties takes" in told
    )
    assert "Skellam noise of σ = 4" in _privacy(specimens.shared_manifest(), Policy())


def secure(noise="node"):
    """A task of six parties under masks, with the noise of each node or shared by all."""
    task = specimens.shared_manifest(parties=6)
    return task if noise == "shared" else task.model_copy(update={"privacy": specimens.person_terms()})


def pinned(role=Role.DATA_PROVIDER):
    return SimpleNamespace(party="runners-1", role=role)


def test_how_many_parties_of_a_sum_were_confirmed_is_told():
    members = Members(fingerprints={member.party: member.fingerprint for member in secure().cohort[:2]})
    assert "Here 2 of these 6 were confirmed before" in _known(secure(), members, Policy(), pinned())
    assert _known(specimens.manifest(), members, Policy(), pinned()) == ""


def test_whom_the_owner_lets_share_the_noise_is_told():
    task = secure("shared")
    listed = Policy(share_noise_with={member.party: member.fingerprint for member in task.cohort[:4]})
    told = _known(task, Members(), listed, pinned())
    assert "lists 3 of the 5 others, all but runners-5, runners-6; at least 4 must be" in told
    everybody = Policy(share_noise_with={member.party: member.fingerprint for member in task.cohort})
    assert "lists 5 of the 5 others; at least 4 must be" in _known(task, Members(), everybody, pinned())
    assert "share_noise_with" not in _known(task, Members(), Policy(), pinned(Role.ALGORITHM_PROVIDER))


def test_how_the_coordinator_combines_updates_is_told_where_it_does_more_than_add():
    task = specimens.manifest()
    assert _leaves(task, Role.DATA_PROVIDER).endswith("counts or losses.")
    robust = {"aggregation": "trimmed-mean", "byzantine": 2, "norm_limit": 3.0}
    told = _leaves(task.model_copy(update={"training": task.training.model_copy(update=robust)}), Role.DATA_PROVIDER)
    assert "combines updates by trimmed-mean, so that 2 hostile parties change little." in told
    assert told.endswith("longer than 3 are cut to that length.")


def test_what_this_node_knows_of_each_party_is_told():
    task = secure("shared")
    members = Members(fingerprints={member.party: member.fingerprint for member in task.cohort[:3]})
    policy = Policy(share_noise_with={"runners-2": task.cohort[1].fingerprint})
    assert [_heard_of(member.party, members, policy, pinned()) for member in task.cohort[:4]] == [
        "this node",
        "listed under share_noise_with",
        "confirmed before",
        "NEW to this node",
    ]
