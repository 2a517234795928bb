"""What a contract's reader is told leaves the node."""

from clients.pinned import Members
from clients.policy import Policy
from clients.review import _confirmed, _leaves, _privacy
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


def test_how_many_parties_of_a_sum_were_confirmed_is_told():
    task = specimens.shared_manifest(parties=6)
    known = {member.party: member.fingerprint for member in task.cohort[:2]}
    told = _confirmed(task, Members(fingerprints=known))
    assert "Here 2 of these 6 were confirmed before" in told
    assert _confirmed(specimens.manifest(), Members(fingerprints=known)) == ""


def test_how_the_coordinator_combines_updates_is_told_where_it_does_more_than_add():
    task = specimens.manifest()
    assert _leaves(task, Role.DATA_PROVIDER).endswith("counts or losses.")
    robust = {"aggregation": "trimmed-mean", "byzantine": 2, "norm_limit": 3.0}
    told = _leaves(task.model_copy(update={"training": task.training.model_copy(update=robust)}), Role.DATA_PROVIDER)
    assert "combines updates by trimmed-mean, so that 2 hostile parties change little." in told
    assert told.endswith("longer than 3 are cut to that length.")
