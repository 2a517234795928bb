"""The grid of a person's whole numbers leaves room for rounding, and no more."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.errors import TermsError
from privacy.levels import ample_levels, fewest_levels, steps_per_clip


@settings(max_examples=200, deadline=None)
@given(levels=st.integers(1, 2**20), coordinates=st.integers(1, 2**24))
def test_the_steps_leave_room_for_rounding_and_no_more(levels, coordinates):
    # Kairouz, Liu, Steinke 2021, §4.2 with β = e^{-1/2}, in units of the grid.
    if levels < fewest_levels(coordinates):
        with pytest.raises(TermsError, match=f"expected at least {fewest_levels(coordinates)}"):
            steps_per_clip(levels, coordinates)
        return
    steps = steps_per_clip(levels, coordinates)
    norm = steps**2 + coordinates / 4 + steps + math.sqrt(coordinates) / 2
    assert norm == pytest.approx(levels**2, rel=1e-9)
    assert 1 - 1e-6 <= steps < levels


@pytest.mark.parametrize("coordinates", [1, 2, 7, 4096, 86_016, 10**7])
def test_the_fewest_levels_leave_one_step(coordinates):
    fewest = fewest_levels(coordinates)
    assert steps_per_clip(fewest, coordinates) >= 1 - 1e-9
    if fewest > 1:
        with pytest.raises(TermsError, match="rounding alone would fill them"):
            steps_per_clip(fewest - 1, coordinates)


@pytest.mark.parametrize("coordinates", [1, 4096, 86_016, 10**7])
def test_with_ample_levels_rounding_takes_little_of_the_clip(coordinates):
    levels = ample_levels(coordinates)
    assert steps_per_clip(levels, coordinates) > 0.95 * levels - 1
