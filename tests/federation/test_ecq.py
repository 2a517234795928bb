"""ECQ keeps its promises: little error within its budget, the same bytes everywhere, nothing but its own bytes read."""

import hashlib
import os
import struct
import subprocess
import sys

import constriction
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from federation.codecs import block_words, ecq, find, grouping, scale_classes, stack
from federation.codecs.block_words import BLOCK, PREVIOUS, Odds, Sorted
from federation.errors import WireError

BITS = st.sampled_from([0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0])
SIZES = st.integers(1, 5000)
SAME = (
    "import hashlib, numpy as np; from federation.codecs import find; codec = find('ecq', 0.5);"
    "data = codec.encode(np.random.default_rng(8).standard_t(3, 40_000).astype(np.float32), 9);"
    "print(hashlib.sha256(data + codec.decode(data, 40_000, 9).tobytes()).hexdigest())"
)


def normal(size: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


def layers(size: int, seed: int = 1) -> np.ndarray:
    """Laplace values whose scale differs by factors of thousands from layer to layer."""
    draw = np.random.default_rng(seed)
    scales = np.exp(2 * draw.normal(size=-(-size // 3000)))
    return (draw.laplace(size=size) * np.repeat(scales, 3000)[:size]).astype(np.float32)


def error(bits: float, vector: np.ndarray) -> float:
    """‖x̂ − x‖² / ‖x‖²."""
    difference = ecq.decode(bits, ecq.encode(bits, vector, 0), len(vector), 0).astype(np.float64) - vector
    return float(difference @ difference / (vector.astype(np.float64) @ vector))


def message(size: int = 3000) -> bytes:
    return ecq.encode(1.0, normal(size), 1)


@pytest.mark.parametrize(("bits", "normals", "spikes"), [(0.1, 0.93, 0.71), (0.5, 0.65, 0.42), (4.0, 0.007, 0.006)])
def test_error_is_small_for_the_bits(bits, normals, spikes):
    assert error(bits, normal(2**17)) < normals
    assert error(bits, np.random.default_rng(1).standard_t(3, 2**17).astype(np.float32)) < spikes


def test_layers_of_other_scales_take_other_odds():
    alike = normal(60_000)
    assert error(0.5, layers(60_000)) < 0.5 * error(0.5, alike)


@given(BITS, SIZES, st.integers(0, 99))
def test_a_message_is_within_its_budget_and_seldom_far_below(bits, size, seed):
    data = ecq.encode(bits, normal(size, seed), 0)
    assert len(data) <= ecq.max_bytes(bits, size)
    assert ecq.max_bytes(bits, size) <= max(24, bits * size / 8)
    if bits * size > 4000:
        assert len(data) > 0.9 * ecq.max_bytes(bits, size)


@given(BITS, arrays(np.float32, st.integers(1, 600), elements=st.floats(-ecq.LARGEST, ecq.LARGEST, width=32)))
def test_vectors_of_any_values_are_carried(bits, vector):
    decoded = ecq.decode(bits, ecq.encode(bits, vector, 6), len(vector), 6)
    exact = vector.astype(np.float64)
    assert np.linalg.norm(decoded - exact) <= 1.01 * np.linalg.norm(exact) + 1e-20


@given(st.integers(1, 3000), st.integers(0, 99), st.floats(-80, 80))
def test_only_the_scale_of_the_decoded_follows_the_scale_of_the_vector(size, seed, octaves):
    vector, scale = normal(size, seed), np.float32(2.0 ** round(octaves))
    small = ecq.decode(0.5, ecq.encode(0.5, vector, 0), size, 0)
    assert np.array_equal(ecq.decode(0.5, ecq.encode(0.5, vector * scale, 0), size, 0), small * scale)


def test_the_seed_changes_nothing():
    assert ecq.encode(0.5, normal(3000), 1) == ecq.encode(0.5, normal(3000), 2)


def test_what_is_left_out_is_in_the_next_difference():
    goal, view = layers(30_000), np.zeros(30_000, np.float32)
    for _ in range(12):
        view = view + ecq.decode(0.5, ecq.encode(0.5, goal - view, 0), len(goal), 0)
    assert np.linalg.norm(goal - view) < 0.03 * np.linalg.norm(goal)


def test_spikes_far_above_the_rest_are_not_cut():
    vector = normal(50_000)
    vector[[7, 40_000]] = 3e4, -2e4
    decoded = ecq.decode(0.5, ecq.encode(0.5, vector, 0), len(vector), 0)
    assert np.allclose(decoded[[7, 40_000]], [3e4, -2e4], rtol=1e-3)


def test_same_bytes_in_another_process_with_other_threads():
    digests = {
        subprocess.run(
            [sys.executable, "-c", SAME],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    data = ecq.encode(0.5, np.random.default_rng(8).standard_t(3, 40_000).astype(np.float32), 9)
    assert digests == {hashlib.sha256(data + ecq.decode(0.5, data, 40_000, 9).tobytes()).hexdigest() + "\n"}


def _sorted(blocks: int, seed: int) -> tuple[Sorted, Odds]:
    """Blocks of any levels, with odds that need not fit them."""
    draw = np.random.default_rng(seed)
    scale = draw.choice([0, 0.01, 0.3, 5, 900, 30_000], (blocks, 1))
    levels = np.minimum(np.floor(draw.exponential(1, (blocks, BLOCK)) * scale), 65535).astype(np.float32)
    classes = scale_classes.classes_of(levels.sum(axis=1, dtype=np.float64))
    order = block_words.order_of(classes)
    negative = draw.random(np.count_nonzero(levels)) < 0.5
    odds = Odds(*(draw.integers(0, most, scale_classes.CLASSES).astype(np.int32) for most in (64, 128)))
    return Sorted(classes, order, levels[order], negative), odds


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_blocks_come_back_from_their_bytes(blocks, seed):
    wanted, odds = _sorted(blocks, seed)
    found = block_words.decode(*block_words.encode(wanted, odds), blocks)
    for name in ("classes", "order", "levels", "negative"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name


@given(st.integers(0, 800), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_any_bytes_are_refused_or_are_blocks(size, blocks, seed):
    draw = np.random.default_rng(seed)
    data = draw.bytes(size)
    try:
        found = block_words.decode(int(draw.integers(0, 256)), int(draw.integers(0, 70)), data, blocks)
    except WireError:
        return
    assert found.classes.shape == (blocks,)


def _by_hand(kind: int, odds: tuple[int, int], last: int, signs: list[bool]) -> bytes:
    """One block of zeros but for its last group of magnitudes, `last`."""
    coder, byte = stack.on_bits(np.array(signs, np.bool_)), constriction.stream.model.Uniform(256)
    top = len(scale_classes.weights(*odds)) - 1
    symbols = np.zeros(-(-BLOCK // grouping.group_of(top)), np.int32)
    symbols[-1] = last
    coder.encode_reverse(symbols, scale_classes.symbols(*odds))
    coder.encode_reverse(np.array(odds, np.int32), byte)
    coder.encode_reverse(np.array([kind + scale_classes.CLASSES - 1], np.int32), block_words._differences(7))
    return stack.taken(coder)


def test_blocks_made_by_hand_are_read():
    top = len(scale_classes.weights(40, 10)) - 1
    padding = -BLOCK % grouping.group_of(top)
    assert padding > 0
    found = block_words.decode(0, 7, _by_hand(1, (40, 10), (top + 1) ** padding, [True]), 1)
    assert found.levels[0, -1] == 1
    assert found.levels.sum() == 1
    assert found.negative.tolist() == [True]


@pytest.mark.parametrize(
    ("kind", "odds", "last", "signs", "text"),
    [
        (1, (40, 10), 1, [], "what fills the last group is not zero"),
        (1, (40, 10), None, [True, False], "it does not end where its levels end"),
        (1, (64, 10), None, [True], "odds that no sender writes"),
        (1, (40, 128), None, [True], "odds that no sender writes"),
        (-1, (40, 10), None, [True], "a class is outside of the known ones"),
    ],
)
def test_blocks_made_by_hand_that_no_encoder_writes_are_refused(kind, odds, last, signs, text):
    top = len(scale_classes.weights(*odds)) - 1
    last = (top + 1) ** (-BLOCK % grouping.group_of(top)) if last is None else last
    with pytest.raises(WireError, match=text):
        block_words.decode(0, 7, _by_hand(kind, odds, last, signs), 1)


def test_classes_that_come_in_runs_are_told_by_their_differences():
    classes = np.repeat([3, 4, 9, 10, 5], 40).astype(np.int32)
    levels = np.zeros((200, BLOCK), np.float32)
    levels[:, 0] = np.ceil(2.0 ** (classes - 1))
    odds = Odds(*(np.full(scale_classes.CLASSES, 40, np.int32) for _ in range(2)))
    order = block_words.order_of(classes)
    first, ratio, body = block_words.encode(Sorted(classes, order, levels[order], np.zeros(200, np.bool_)), odds)
    assert first == PREVIOUS + 3
    assert np.array_equal(block_words.decode(first, ratio, body, 200).classes, classes)


@pytest.mark.parametrize("share", range(0, scale_classes.SHARES, 9))
@pytest.mark.parametrize("reach", range(0, scale_classes.REACHES, 5))
def test_odds_are_whole_numbers_that_add_up(share, reach):
    odds = scale_classes.weights(share, reach)
    assert 2 <= len(odds) <= scale_classes.LARGEST_TOP + 1
    assert np.array_equal(odds * grouping.WEIGHT, np.rint(odds * grouping.WEIGHT))
    assert odds.min() >= 1 / grouping.WEIGHT
    assert odds.sum() == pytest.approx(1, abs=len(odds) / grouping.WEIGHT)


@pytest.mark.parametrize("kind", ["geometric", "half-normal"])
@pytest.mark.parametrize("mean", [0.05, 1.0, 30.0])
def test_fitted_odds_are_nearly_the_shortest(kind, mean):
    draw, count = np.random.default_rng(3), 2**16
    away = draw.geometric(1 / (1 + mean), count) if kind == "geometric" else 1 + np.abs(draw.normal(size=count)) * mean
    levels = np.floor(np.where(draw.random(count) < 0.3, away, 0))
    whole, some = float(levels.sum()), float(np.count_nonzero(levels))
    each = scale_classes.moments(
        np.array([7]), count, np.array([some]), np.array([whole]), np.array([float(levels @ levels)])
    )
    share, reach, bits = scale_classes.fitted(each)
    odds = scale_classes.weights(int(share[7]), int(reach[7]))
    taken = -np.log2(odds[np.minimum(levels, len(odds) - 1).astype(int)]).sum() + some
    taken += 16 * np.count_nonzero(levels >= len(odds) - 1)
    seen = np.bincount(levels.astype(int)) / count
    least = -count * (seen[seen > 0] * np.log2(seen[seen > 0])).sum() + some
    assert least <= taken < 1.035 * least
    assert bits == pytest.approx(taken, rel=0.03)


@given(st.integers(1, 4095), st.integers(1, 99))
def test_groups_come_apart_again(top, count):
    magnitudes = np.random.default_rng(count).integers(0, top + 1, count).astype(np.float32)
    assert np.array_equal(grouping.parted(grouping.joined(magnitudes, top), top)[:count], magnitudes)


def test_bytes_cut_off_or_left_over_are_refused():
    data = message()
    for damaged in (data[:-1], data[:-4], data[:8] + data[12:], data + bytes([7]), data + bytes(1)):
        with pytest.raises(WireError, match=r"coded (blocks are|vector is) damaged|ends in an empty byte"):
            ecq.decode(1.1, damaged, 3000, 1)


def test_more_bytes_than_the_budget_are_refused_before_they_are_read():
    with pytest.raises(WireError, match=r"\d+ bytes for a vector of 3000 values; expected at most 375 and at least 8"):
        ecq.decode(1.0, message(300_000), 3000, 1)


def test_values_after_the_end_are_zero():
    data = ecq.encode(4.0, normal(3000), 1)
    with pytest.raises(WireError, match="the coded vector is longer than it may be"):
        ecq.decode(8.0, data, 2990, 1)


@pytest.mark.parametrize("step", [0.0, -1.0, 1e-45, np.nan, np.inf])
def test_steps_that_no_encoder_writes_are_refused(step):
    with pytest.raises(WireError, match="a step that no sender writes"):
        ecq.decode(1.0, struct.pack("<f", step) + message()[4:], 3000, 1)


@pytest.mark.parametrize(
    ("place", "value"), [(6, scale_classes.CLASSES), (6, PREVIOUS - 1), (6, 255), (7, block_words.RATIOS), (7, 255)]
)
def test_heads_that_no_encoder_writes_are_refused(place, value):
    data = bytearray(message())
    data[place] = value
    with pytest.raises(WireError, match="a class or a ratio that no sender writes"):
        ecq.decode(1.0, bytes(data), 3000, 1)


def test_a_step_that_makes_values_infinite_is_refused():
    with pytest.raises(WireError, match="holds NaN or ∞"):
        ecq.decode(1.0, struct.pack("<f", 3e38) + message()[4:], 3000, 1)


@pytest.mark.parametrize("vector", [np.zeros(700, np.float32), np.full(700, 1e-35, np.float32)])
def test_zeros_have_one_spelling(vector):
    assert ecq.encode(0.5, vector, 0) == bytes(8)
    with pytest.raises(WireError, match="a step that no sender writes"):
        ecq.decode(0.5, bytes(12), 700, 0)


@pytest.mark.parametrize("bits", [0, 0.009, 8.1, -1, np.nan, np.inf])
def test_budgets_outside_of_the_bounds_are_refused(bits):
    with pytest.raises(WireError, match=r"codec ecq takes 0.01 to 8 bits per value"):
        find("ecq", bits)


@given(st.lists(st.booleans(), max_size=200), st.lists(st.integers(0, 255), max_size=40))
def test_a_stack_gives_back_what_it_was_given_and_the_bits_below(bits, pushed):
    byte, below = constriction.stream.model.Uniform(256), np.array(bits, np.bool_)
    coder = stack.on_bits(below)
    coder.encode_reverse(np.array(pushed, np.int32), byte)
    again = stack.opened(stack.taken(coder))
    assert again.decode(byte, len(pushed)).tolist() == pushed
    assert np.array_equal(stack.bits_of(again, len(bits)), below)
    for other in {len(bits) - 1, len(bits) + 1} - {-1}:
        with pytest.raises(WireError, match="does not end where its levels end"):
            stack.bits_of(again, other)
