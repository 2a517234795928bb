"""One person moves the bounded sum by at most the clip, whatever their data did to their update."""

import copy
import dataclasses
import logging
import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from privacy import person_level
from privacy.errors import BoundError, TermsError
from privacy.noise import os_source
from privacy.person_level import Bounded, bound, combine, empty, sample

clips = st.floats(1e-6, 1e6)
shapes = st.tuples(st.integers(0, 6), st.integers(1, 5))
moderate = st.floats(-1e6, 1e6, width=32)
anything = st.floats(width=32, allow_nan=True, allow_infinity=True)


def formula(updates: np.ndarray, clip: float) -> np.ndarray:
    """Σ of min(1, C/‖x‖) x over rows that are finite, in exact enough arithmetic."""
    rows = updates.astype(np.longdouble)
    rows = rows[np.isfinite(rows).all(axis=1)]
    norms = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return (rows * np.minimum(1, clip / np.maximum(norms, 1e-300))).sum(axis=0)


@settings(max_examples=200, deadline=None)
@given(updates=arrays.arrays(np.float32, shapes, elements=anything), clip=clips)
def test_bound_agrees_with_the_formula(updates, clip):
    found = bound(torch.from_numpy(updates), clip).vector
    np.testing.assert_allclose(found, formula(updates, clip).astype(float), rtol=0, atol=1e-6 * clip * len(updates))


@settings(max_examples=200, deadline=None)
@given(updates=arrays.arrays(np.float64, shapes, elements=st.floats()), clip=clips)
def test_no_person_moves_the_sum_by_more_than_the_clip(updates, clip):
    everybody = bound(torch.from_numpy(updates), clip).vector
    assert np.isfinite(everybody).all()
    for person in range(len(updates)):
        others = bound(torch.from_numpy(np.delete(updates, person, axis=0)), clip).vector
        slack = 1e-14 * clip * len(updates)  # of this test's own subtraction
        assert np.linalg.norm(everybody - others) <= clip + slack


@pytest.mark.parametrize("value", [1e19, 1e30, 3.4e38])
def test_huge_updates_are_clipped_to_the_clip_not_to_nothing(value):
    for dtype, size in ((torch.float32, value), (torch.float64, min(value**8, 1e308))):
        row = torch.tensor([[size, -size]], dtype=dtype)
        np.testing.assert_allclose(bound(row, 2.0).vector, [math.sqrt(2), -math.sqrt(2)], rtol=1e-6)


@pytest.mark.parametrize("clip", [1e-9, 1e-3, 1.0, 1e9])
def test_a_unit_clip_means_the_same_at_every_scale(clip):
    row = torch.tensor([[3.0, 4.0], [0.3, 0.4]], dtype=torch.float64) * clip
    np.testing.assert_allclose(bound(row, clip).vector / clip, [0.9, 1.2], rtol=1e-6)


def test_an_update_of_nothing_divides_by_no_zero():
    assert bound(torch.zeros(3, 4), 1.0).vector.tolist() == [0, 0, 0, 0]


def test_an_empty_sample_sums_to_zero():
    for nobody in (bound(torch.zeros(0, 4), 1.0), empty(4, 1.0)):
        assert nobody.vector.tolist() == [0, 0, 0, 0]
        assert nobody.vector.dtype == np.float64


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_a_person_whose_update_is_not_finite_counts_as_absent_and_nobody_learns_it(poison, caplog, capfd):
    # The NaN oracle: an answer that is NaN exactly when somebody takes part betrays them whatever the noise.
    others = torch.tensor([[0.1, 0.2], [5.0, 0.0]])
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG):
        warnings.simplefilter("error")
        found = bound(torch.cat([others, torch.tensor([[0.3, poison]])]), 1.0)
    assert (found.vector == bound(others, 1.0).vector).all()
    assert {field.name for field in dataclasses.fields(found)} == {"vector", "clip"}
    assert (repr(found), caplog.text, capfd.readouterr()) == ("Bounded(2 parameters, clip 1)", "", ("", ""))


def test_the_sum_is_not_divided_by_how_many_there_were():
    row = torch.tensor([[0.5, 0.0]])
    assert bound(row.repeat(10, 1), 1.0).vector[0] == pytest.approx(10 * bound(row, 1.0).vector[0])


def test_one_call_leaves_nothing_behind_for_the_next():
    updates = torch.randn(5, 7)
    before = updates.clone()
    first, second = bound(updates, 1.0), bound(updates, 1.0)
    assert (first.vector == second.vector).all()
    assert torch.equal(updates, before)


def test_many_people_are_summed_in_blocks(monkeypatch):
    updates = torch.randn(50, 7, generator=torch.Generator().manual_seed(1)) * 3
    whole = bound(updates, 1.0).vector
    monkeypatch.setattr(person_level, "_BLOCK_VALUES", 21)
    np.testing.assert_allclose(bound(updates, 1.0).vector, whole, atol=1e-12)


def test_updates_may_come_with_a_graph():
    updates = torch.ones(2, 3, requires_grad=True) * 0.1
    np.testing.assert_allclose(bound(updates, 1.0).vector, [0.2, 0.2, 0.2], rtol=1e-6)


@pytest.mark.parametrize(
    "updates",
    [
        np.zeros((2, 3), np.float32),
        None,
        torch.zeros(2, 3, dtype=torch.int64),
        torch.zeros(2, 3, dtype=torch.float16),
        torch.zeros(2, 3, dtype=torch.complex64),
    ],
)
def test_updates_of_another_type_are_refused(updates):
    with pytest.raises(BoundError, match="expected a float32 or float64 tensor"):
        bound(updates, 1.0)


@pytest.mark.parametrize("shape", [(), (987654,), (3, 0), (2, 3, 4)])
def test_updates_of_another_shape_are_refused_without_telling_how_many_people(shape):
    with pytest.raises(BoundError, match="expected one flat vector each") as caught:
        bound(torch.zeros(shape), 1.0)
    assert "987654" not in str(caught.value)


@pytest.mark.parametrize("clip", [math.nan, math.inf, 0.0, -1.0, 1e-10, 1e10, "1", None, True])
def test_an_absurd_clip_is_refused(clip):
    for make in (lambda: bound(torch.zeros(2, 3), clip), lambda: empty(3, clip)):
        with pytest.raises(TermsError, match=r"clip C = .* expected a number"):
            make()


@pytest.mark.parametrize("parameters", [0, -1, 1.5, None, True])
def test_an_absurd_size_is_refused(parameters):
    with pytest.raises(BoundError, match="expected a whole number"):
        empty(parameters, 1.0)


def test_parts_of_different_people_combine_to_their_sum():
    updates = torch.randn(9, 4)
    parts = [bound(updates[:2], 1.0), empty(4, 1.0), bound(updates[2:], 1.0)]
    np.testing.assert_allclose(combine(parts).vector, bound(updates, 1.0).vector, atol=1e-12)


def test_parts_of_different_terms_do_not_combine():
    for other in (empty(4, 2.0), empty(5, 1.0)):
        with pytest.raises(BoundError, match="one clip and one size"):
            combine([empty(4, 1.0), other])
    for nothing in ([], [np.zeros(4)], [empty(4, 1.0), None]):
        with pytest.raises(BoundError, match="at least one Bounded"):
            combine(nothing)


def test_a_bounded_value_is_made_by_this_module_only():
    with pytest.raises(BoundError, match="made by hand"):
        Bounded(np.zeros(3), 1.0, object())
    bounded = empty(3, 1.0)
    with pytest.raises(ValueError, match="seal"):
        dataclasses.replace(bounded, clip=0.01)
    with pytest.raises(dataclasses.FrozenInstanceError):
        bounded.clip = 0.01
    with pytest.raises(ValueError, match="read-only"):
        bounded.vector[0] = 1


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_un_noised_sum_is_neither_copied_nor_pickled(copying):
    with pytest.raises(BoundError, match="un-noised"):
        copying(bound(torch.ones(1, 3), 1.0))


def test_an_un_noised_sum_is_not_printed():
    assert repr(bound(torch.full((1, 3), 0.123), 1.0)) == "Bounded(3 parameters, clip 1)"


def test_each_person_is_drawn_independently_with_the_rate():
    people, rate, draws = np.arange(100, 300), 0.3, 2000
    source = os_source()
    taken = np.zeros((draws, people.size), dtype=bool)
    for draw in range(draws):
        taken[draw] = np.isin(people, sample(people, rate, source))
    spread = math.sqrt(rate * (1 - rate) / draws)
    assert np.abs(taken.mean(axis=0) - rate).max() < 6 * spread
    # A shuffled batch of fixed size has no variance; Poisson's is n q (1 - q).
    sizes = taken.sum(axis=1)
    assert sizes.var() == pytest.approx(people.size * rate * (1 - rate), rel=0.25)
    assert sizes.mean() == pytest.approx(people.size * rate, abs=6 * sizes.std() / math.sqrt(draws))
    together = np.corrcoef(taken.T.astype(float)) - np.eye(people.size)
    assert np.abs(together).max() < 7 / math.sqrt(draws)


def test_a_rate_of_one_takes_everybody_and_nobody_gives_nobody():
    people = np.array([5, 2, 9])
    assert sample(people, 1.0, os_source()).tolist() == [5, 2, 9]
    assert sample(np.array([], dtype=np.int64), 0.5, os_source()).tolist() == []


def test_a_sample_is_not_the_same_twice():
    people = np.arange(1000)
    source = os_source()
    assert sample(people, 0.5, source).tolist() != sample(people, 0.5, source).tolist()


def test_a_person_listed_twice_is_refused():
    with pytest.raises(BoundError, match="a person stands twice"):
        sample(np.array([1, 2, 1]), 0.5, os_source())


@pytest.mark.parametrize("people", [np.zeros((2, 2), np.int64), np.array([1.0, 2.0]), np.array([1, 2], np.int32)])
def test_people_of_another_kind_are_refused(people):
    with pytest.raises(BoundError, match="expected int64 person numbers"):
        sample(people, 0.5, os_source())


@pytest.mark.parametrize("rate", [math.nan, math.inf, 0.0, -0.1, 1.1, "0.5", None, True])
def test_an_absurd_rate_is_refused(rate):
    with pytest.raises(TermsError, match="sampling rate"):
        sample(np.arange(3), rate, os_source())
