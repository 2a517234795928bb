"""No ε is printed without its unit, δ, adjacency, q, σ, T and accountant."""

import pytest

from privacy.accounting import SampledGaussian, SampledSkellam
from privacy.errors import TermsError
from privacy.statement import statement

MECHANISM = SampledGaussian(0.1, 2.0)


@pytest.mark.parametrize("unit", ["person", "record"])
def test_the_sentence_names_all_that_an_epsilon_needs(unit):
    promise = statement(unit, MECHANISM, 500, 1e-5, 1.5, 8)
    sentence = promise.sentence()
    for words in ("unit: person", "δ = 1e-05", "add or remove one person", "q = 0.1", "σ = 2", "T = 500", "norm 1.5"):
        assert words in sentence
    assert "accountant: RDP" in sentence
    assert sentence.index("RDP") < sentence.index("PLD") < sentence.index("unit: record")


def test_the_person_comes_first_and_the_record_only_beside_it():
    sentence = statement("person", MECHANISM, 500, 1e-5, 1.0, 8).sentence()
    assert "ε = 6.035" in sentence
    assert "By PLD, for these terms alone, fixed beforehand: ε = 5.556" in sentence
    assert "Beside it, and no substitute for it: one row" in sentence
    assert sentence.index("ε = 6.035") < sentence.index("ε = 5.556") < sentence.index("ε = 11.386")


def test_clipping_rows_promises_a_person_less_than_a_row():
    promise = statement("record", SampledGaussian(0.01, 5.0), 1000, 1e-5, 1.0, 5)
    assert promise.epsilon > promise.epsilon_pld > 5 * promise.record_epsilon
    assert "group privacy for 5 rows per person" in promise.sentence()


def test_figures_are_rounded_against_us():
    promise = statement("person", SampledGaussian(0.01, 1.0), 1000, 1e-5, 1.0, 8)
    assert promise.epsilon > 2.101
    assert "ε = 2.102" in promise.sentence()


def test_shared_noise_is_named_with_its_levels_and_promises_no_pld():
    promise = statement("person", SampledSkellam(0.1, 2.0, 512), 500, 1e-5, 1.5, 8)
    sentence = promise.sentence()
    assert promise.epsilon == promise.epsilon_pld > statement("person", MECHANISM, 500, 1e-5, 1.5, 8).epsilon
    for words in ("norm 1.5, rotated and rounded to whole numbers of norm 512 at most", "Skellam noise of σ = 2"):
        assert words in sentence
    assert "each party adds a share under its mask" in sentence
    assert "No tighter figure by PLD is known" in sentence
    assert "Gaussian" not in sentence
    assert "rows replaced; RDP)" in sentence


def test_a_promise_for_absurd_terms_is_refused():
    with pytest.raises(TermsError):
        statement("record", MECHANISM, 500, 1e-5, 1.0, 0)
    with pytest.raises(TermsError):
        statement("person", MECHANISM, 500, 0.0, 1.0, 1)
