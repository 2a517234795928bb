"""What a contract's reader is told leaves the node."""

from clients.review import _leaves
from federation.roles import Role
from federation.terms import ExchangeTerms
from simulations import specimens


def test_the_codec_and_its_budget_are_told():
    task = specimens.manifest()
    assert "noised, coded as int8_block; a keyed commitment" in _leaves(task, Role.DATA_PROVIDER)
    few = task.model_copy(update={"exchange": ExchangeTerms(up="urq", up_bits=0.25, min_parties=2)})
    assert "coded as urq in about 0.25 bits per number; a keyed" in _leaves(few, Role.DATA_PROVIDER)
