"""Hidden signs: each block's parity tells the sign of its first level, and few levels change for it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from federation.codecs import sign_hiding

SIZES, BLOCKS, SEEDS = st.integers(1, 400), st.integers(2, 60), st.integers(0, 999)


def rounded(size: int, seed: int, deviation: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levels, roundings and signs of normal values."""
    values = np.random.default_rng(seed).normal(0, deviation, size).astype(np.float32)
    levels = np.rint(np.abs(values))
    return levels, np.abs(values) - levels, values < 0


@given(SIZES, BLOCKS, SEEDS, st.sampled_from([0.2, 0.4, 1.0, 5.0]))
def test_the_parity_of_a_block_is_the_sign_of_its_first_level(size, block, seed, deviation):
    levels, rounding, negative = rounded(size, seed, deviation)
    sign_hiding.hide(levels, rounding, negative, block)
    for start in range(0, size // block * block, block):
        one = levels[start : start + block]
        if one.any():
            assert one.sum() % 2 == negative[start : start + block][np.flatnonzero(one)[0]]


@given(SIZES, BLOCKS, SEEDS, st.sampled_from([0.2, 0.4, 1.0, 5.0]))
def test_what_is_hidden_is_found(size, block, seed, deviation):
    levels, rounding, negative = rounded(size, seed, deviation)
    sign_hiding.hide(levels, rounding, negative, block)
    places = np.flatnonzero(levels)
    first, signs = sign_hiding.hidden(levels, block)
    assert np.array_equal(signs, negative[places[first]])
    assert len(first) == sum(levels[start : start + block].any() for start in range(0, size - block + 1, block))


@given(SEEDS, st.sampled_from([0.4, 1.0, 5.0]))
def test_at_most_one_level_of_a_block_moves_by_one_unless_all_vanish(seed, deviation):
    before, rounding, negative = rounded(320, seed, deviation)
    after = before.copy()
    sign_hiding.hide(after, rounding, negative, 16)
    for old, new in zip(before.reshape(-1, 16), after.reshape(-1, 16), strict=True):
        assert np.abs(new - old).sum() <= 1 or not new.any()


def test_the_level_nearest_to_its_neighbour_moves_and_what_may_not_move_stays():
    levels, negative = np.array([2, 0, 3, 1], np.float32), np.array([True, False, False, True])
    rounding = np.array([0.1, 0.4, -0.45, 0.2], np.float32)
    first, second = levels.copy(), levels.copy()
    sign_hiding.hide(first, rounding, negative, 4)
    assert first.tolist() == [2, 0, 2, 1]
    rounding[2] = -np.inf
    sign_hiding.hide(second, rounding, negative, 4)
    assert second.tolist() == [2, 1, 3, 1]


def test_where_no_change_helps_the_block_vanishes():
    levels = np.array([1, 1], np.float32)
    sign_hiding.hide(levels, np.full(2, -np.inf, np.float32), np.array([True, True]), 2)
    assert not levels.any()
