"""Outcomes survive their files without loss."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import UsageError
from simulations import records
from simulations.outcome import RoundOutcome


@given(st.floats(), st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False), max_size=3))
def test_every_bit_of_a_float_survives(seconds, scores):
    done = RoundOutcome(1, seconds, 2, 3, 0.1, 4, 5, scores, {})
    read = records.load_round(records.dump(done))
    assert read.scores == scores
    assert read.seconds == seconds or (math.isnan(read.seconds) and math.isnan(seconds))


def test_outcome_is_read_as_it_was(outcome):
    assert records.load(records.dump(outcome()), "x.json") == outcome()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"seed": "x"}'])
def test_other_files_are_refused_by_name(text):
    with pytest.raises(UsageError, match=r"x\.json is no result"):
        records.load(text, "x.json")
