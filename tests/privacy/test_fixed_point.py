"""One person moves the sum of whole numbers by at most the levels, exactly, whatever their update and the rounding."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from privacy import fixed_point
from privacy.errors import BoundError, TermsError
from privacy.fixed_point import (
    BoundedIntegers,
    bound_integers,
    combine_integers,
    no_integers,
)
from privacy.levels import steps_per_clip
from privacy.noise import os_source

LEAST_PROBABLE = 1e-6
anything = st.floats(width=32, allow_nan=True, allow_infinity=True)
shapes = st.tuples(st.integers(0, 6), st.integers(1, 5))


class Bits:
    """A source whose every bit is the same: all coordinates are rounded down, or all up."""

    def __init__(self, byte: bytes) -> None:
        self.byte = byte

    def read(self, size_bytes: int) -> bytes:
        return self.byte * size_bytes


UP, DOWN = Bits(b"\xff"), Bits(b"\x00")


def as_it_is(rows):
    return rows


def turn(size):
    """A random rotation of `size` coordinates."""
    matrix = np.linalg.qr(np.random.default_rng(1).normal(size=(size, size)))[0]
    return lambda rows: rows @ matrix


@settings(max_examples=100, deadline=None)
@given(
    updates=arrays.arrays(np.float32, shapes, elements=anything), clip=st.floats(1e-6, 1e6), levels=st.integers(3, 5000)
)
def test_no_person_moves_the_sum_by_more_than_the_levels(updates, clip, levels):
    for row in updates:
        moved = bound_integers(torch.from_numpy(row[None]), clip, as_it_is, levels, os_source()).vector
        assert sum(int(value) ** 2 for value in moved) <= levels**2


@settings(max_examples=50, deadline=None)
@given(levels=st.integers(4, 5000), source=st.sampled_from([UP, DOWN]), sign=st.sampled_from([-1, 1]))
def test_the_bound_holds_for_the_worst_luck(levels, source, sign):
    # Every draw fails alike, so that only cutting towards zero is left.
    row = torch.full((1, 20), sign * 100.0)
    moved = bound_integers(row, 1.0, as_it_is, levels, source).vector
    assert (moved**2).sum() <= levels**2
    assert abs(moved[0] - sign * steps_per_clip(levels, 20) / math.sqrt(20)) <= 1


def test_a_row_that_is_too_long_is_drawn_again_and_no_other_row_is(repeatable):
    scale = steps_per_clip(3, 8)
    values = np.array([[scale / math.sqrt(8)] * 8, [0.0] * 8, [1.0] + [0.0] * 7])
    for seed in range(200):
        drawn = fixed_point._rounded(values, 3, repeatable(seed))
        assert (drawn[1:] == [[0] * 8, [1] + [0] * 7]).all()
        assert (drawn[0] ** 2).sum() <= 9


def test_how_one_person_is_rounded_depends_on_nobody_else(repeatable):
    # Drawing all rows again because one is too long would let that one choose how the others fall.
    source, sizes = repeatable(1), []

    class Counted:
        def read(self, size_bytes: int) -> bytes:
            sizes.append(size_bytes)
            return b"\xff" * size_bytes if len(sizes) < 5 else source.read(size_bytes)

    scale = steps_per_clip(10, 64)
    values = np.array([[scale / 8] * 64, [0.01] + [0.0] * 63])
    drawn = fixed_point._rounded(values, 10, Counted())
    assert sizes[0] == 2 * 64 * 4
    assert len(sizes) >= 5
    assert set(sizes[1:]) == {64 * 4}
    assert drawn[1].tolist() == [1] + [0] * 63


def test_people_are_rounded_one_by_one_and_then_summed():
    # Each of 1,000 people gives 0.3 steps: rounding their sum would give 300 always.
    scale = steps_per_clip(100, 4)
    updates = torch.full((1000, 4), 0.3 / scale, dtype=torch.float64)
    sums = np.array([bound_integers(updates, 1.0, as_it_is, 100, os_source()).vector for _ in range(50)])
    assert sums.std() == pytest.approx(math.sqrt(1000 * 0.3 * 0.7), rel=0.3)
    assert sums.mean() == pytest.approx(300, abs=6 * sums.std() / math.sqrt(sums.size))


def test_a_value_is_its_whole_number_times_clip_over_steps():
    rows = np.random.default_rng(2).normal(size=(40, 64))
    rows *= 2.0 / np.linalg.norm(rows, axis=1, keepdims=True) * np.linspace(0.1, 3, 40)[:, None]
    rotation = turn(64)
    found = bound_integers(torch.from_numpy(rows), 2.0, rotation, 4096, os_source())
    clipped = rows * np.minimum(1, 2.0 / np.linalg.norm(rows, axis=1))[:, None]
    expected = rotation(clipped).sum(axis=0)
    error = found.vector * 2.0 / steps_per_clip(4096, 64) - expected
    assert np.abs(error).max() < 6 * math.sqrt(40 / 4) * 2.0 / 4096


def test_rounding_is_unbiased():
    values = np.tile(np.linspace(-2, 2, 9), (20_000, 1))
    drawn = fixed_point._draw(values, os_source())
    assert set(np.unique(np.abs(drawn - values) < 1)) == {True}
    for column, value in zip(drawn.T, values[0], strict=True):
        up = int((column > math.floor(value)).sum())
        share = value - math.floor(value)
        assert up == 0 if share == 0 else stats.binomtest(up, len(column), share).pvalue > LEAST_PROBABLE


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_a_person_whose_update_is_not_finite_counts_as_zero(poison):
    row = torch.tensor([[0.3, poison, 0.1]])
    assert bound_integers(row, 1.0, as_it_is, 100, os_source()).vector.tolist() == [0, 0, 0]


def test_an_empty_sample_sums_to_zero():
    padded = lambda rows: np.pad(rows, ((0, 0), (0, 3)))  # noqa: E731
    found = bound_integers(torch.zeros(0, 5), 1.0, padded, 100, os_source())
    assert found.vector.tolist() == no_integers(8, 100).vector.tolist() == [0] * 8
    assert found.vector.dtype == np.int64


def test_many_people_are_rounded_in_blocks(monkeypatch):
    updates = torch.randn(50, 8, generator=torch.Generator().manual_seed(1)) * 3
    monkeypatch.setattr(fixed_point, "_BLOCK_VALUES", 24)
    sizes = []

    def rotation(rows):
        sizes.append(len(rows))
        return rows

    found = bound_integers(updates, 1.0, rotation, 2**20, os_source()).vector
    whole = (updates / updates.norm(dim=1, keepdim=True).clamp(min=1)).sum(dim=0).numpy()
    np.testing.assert_allclose(found / steps_per_clip(2**20, 8), whole, atol=1e-4)
    assert max(sizes) == 3


@pytest.mark.parametrize("levels", [0, -1, 2**20 + 1, 1.5, "1", None, True])
def test_absurd_levels_are_refused(levels):
    for make in (
        lambda: bound_integers(torch.zeros(2, 3), 1.0, as_it_is, levels, os_source()),
        lambda: no_integers(3, levels),
    ):
        with pytest.raises(TermsError, match="expected a whole number from 1"):
            make()


@pytest.mark.parametrize("coordinates", [0, -1, 1.5, None, True])
def test_absurd_sizes_are_refused(coordinates):
    with pytest.raises(BoundError, match="expected a whole number"):
        no_integers(coordinates, 100)


@pytest.mark.parametrize(
    "rotation",
    [
        lambda rows: rows * 1.001,
        lambda rows: rows * math.nan,
        np.zeros_like,
        lambda rows: rows[:, :2],
        lambda rows: rows[0],
        lambda rows: rows if not rows.any() else rows[:, :3],
    ],
)
def test_what_is_no_rotation_is_refused(rotation):
    with pytest.raises(BoundError, match="the rotation"):
        bound_integers(torch.ones(2, 4), 1.0, rotation, 100, os_source())


def test_a_rotation_may_be_off_by_rounding():
    def rotation(rows):
        return (rows * (1 + 5e-5)).astype(np.float32)

    for levels in (100, 2**20):
        vector = bound_integers(torch.ones(1, 400), 1.0, rotation, levels, DOWN).vector
        assert 0 < (vector**2).sum() <= levels**2


@pytest.mark.parametrize("updates", [np.zeros((2, 3), np.float32), None, torch.zeros(2, 3, dtype=torch.float16)])
def test_updates_of_another_type_are_refused(updates):
    with pytest.raises(BoundError, match="expected a float32 or float64 tensor"):
        bound_integers(updates, 1.0, as_it_is, 100, os_source())


@pytest.mark.parametrize("clip", [math.nan, 0.0, -1.0, None, True])
def test_an_absurd_clip_is_refused(clip):
    with pytest.raises(TermsError, match="found clip C"):
        bound_integers(torch.zeros(2, 3), clip, as_it_is, 100, os_source())


def test_sums_that_would_overflow_are_refused(monkeypatch):
    one = bound_integers(torch.ones(3, 4), 1.0, as_it_is, 100, os_source())
    monkeypatch.setattr(fixed_point, "_LARGEST_SUM", 250)
    with pytest.raises(BoundError, match="in 64 bits"):
        combine_integers([one, one])
    with pytest.raises(BoundError, match="too many people"):
        bound_integers(torch.ones(3, 4), 1.0, as_it_is, 100, os_source())


def test_parts_of_different_people_combine_to_their_sum():
    parts = [bound_integers(torch.randn(3, 4), 1.0, as_it_is, 100, os_source()), no_integers(4, 100)]
    assert (combine_integers([*parts, parts[0]]).vector == 2 * parts[0].vector).all()


def test_parts_of_different_terms_do_not_combine():
    for other in (no_integers(4, 200), no_integers(5, 100)):
        with pytest.raises(BoundError, match="one number of levels and one size"):
            combine_integers([no_integers(4, 100), other])
    for nothing in ([], [np.zeros(4)], [no_integers(4, 100), None]):
        with pytest.raises(BoundError, match="at least one"):
            combine_integers(nothing)


def test_bounded_integers_are_made_by_their_module_only_and_do_not_change():
    with pytest.raises(BoundError, match="made by hand"):
        BoundedIntegers(np.zeros(3, np.int64), 100, object())
    bounded = no_integers(3, 100)
    with pytest.raises(ValueError, match="seal"):
        dataclasses.replace(bounded, levels=1)
    with pytest.raises(ValueError, match="read-only"):
        bounded.vector[0] = 1
    assert repr(bounded) == "BoundedIntegers(3 coordinates, 100 levels)"


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_un_noised_sum_is_neither_copied_nor_pickled(copying):
    with pytest.raises(BoundError, match="un-noised"):
        copying(no_integers(3, 100))
