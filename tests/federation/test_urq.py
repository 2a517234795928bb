"""URQ keeps its promises: unbiased on any vector, within its budget, near the limit, the same bytes everywhere."""

import hashlib
import math
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from federation.codecs import entropy, find, rotation, sign_hiding, urq
from federation.errors import WireError

BITS = st.sampled_from([0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0])
SIZES = st.integers(1, 5000)
SAME = (
    "import hashlib, numpy as np; from federation.codecs import find; codec = find('urq', 0.1);"
    "data = codec.encode(np.random.default_rng(8).standard_t(3, 40_000).astype(np.float32), 9);"
    "print(hashlib.sha256(data + codec.decode(data, 40_000, 9).tobytes()).hexdigest())"
)


def normal(size: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


def error(bits: float, vector: np.ndarray, seed: int) -> float:
    """‖x̂ − x‖² / ‖x‖²."""
    codec = find("urq", bits)
    difference = codec.decode(codec.encode(vector, seed), len(vector), seed).astype(np.float64) - vector
    return float(difference @ difference / (vector.astype(np.float64) @ vector))


@pytest.mark.parametrize(("bits", "gap"), [(0.1, 0.03), (0.25, 0.076), (1.0, 0.21), (2.0, 0.22), (3.0, 0.22)])
def test_error_is_near_the_limit_of_unbiased_codes(bits, gap):
    size, codec = 2**18, find("urq", bits)
    spent = 8 * len(codec.encode(normal(size), 3)) / size
    assert spent <= bits
    assert spent - 0.5 * math.log2(1 + 1 / error(bits, normal(size), 3)) < gap


@given(BITS, SIZES, st.integers(0, 2**64 - 1))
def test_a_message_is_within_its_budget_and_seldom_far_below(bits, size, seed):
    data = urq.encode(bits, normal(size, seed % 1000), seed)
    assert len(data) <= urq.max_bytes(bits, size)
    assert urq.max_bytes(bits, size) <= max(21, bits * size / 8)
    if bits * size > 4000:
        assert len(data) > 0.9 * urq.max_bytes(bits, size)


@given(BITS, arrays(np.float32, st.integers(1, 40), elements=st.floats(-urq.LARGEST, urq.LARGEST, width=32)))
def test_tiny_vectors_of_any_values_are_carried(bits, vector):
    decoded = urq.decode(bits, urq.encode(bits, vector, 6), len(vector), 6)
    exact = vector.astype(np.float64)
    assert np.linalg.norm(decoded - exact) <= 2 * np.linalg.norm(exact) + 1e-30


@pytest.mark.parametrize("size", [1, 2, 5, 20, 300, 5000])
@pytest.mark.parametrize("bits", [0.1, 1.0])
def test_a_single_spike_is_right_on_average(bits, size):
    draws, vector = 500, np.zeros(size, np.float32)
    vector[size // 2] = -3
    codec = find("urq", bits)
    errors = np.stack([codec.decode(codec.encode(vector, seed), size, seed) - vector for seed in range(draws)])
    first, second = errors[::2].mean(axis=0, dtype=np.float64), errors[1::2].mean(axis=0, dtype=np.float64)
    assert abs(first @ second) < 0.01 * 9


def test_same_seed_same_bytes_in_another_process_with_other_threads():
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
    codec = find("urq", 0.1)
    data = codec.encode(np.random.default_rng(8).standard_t(3, 40_000).astype(np.float32), 9)
    assert digests == {hashlib.sha256(data + codec.decode(data, 40_000, 9).tobytes()).hexdigest() + "\n"}


def test_another_seed_rotates_otherwise():
    assert urq.encode(0.1, normal(9000), 1) != urq.encode(0.1, normal(9000), 2)


def test_decoding_is_exact_arithmetic_until_the_scale():
    levels = np.random.default_rng(4).integers(-13, 14, 2**16).astype(np.float32)
    layout = rotation.shape(2**16, 3)
    single = rotation.backward(levels, layout, 5)
    first, second = (1.0 - 2.0 * np.unpackbits(signs) for signs in rotation._signs(layout, 5))
    table = rotation._hadamard(4096).astype(np.float64)
    middle = (levels.reshape(-1, 4096).astype(np.float64) @ table).reshape(-1) * second
    exact = (table @ middle.reshape(4096, -1)).reshape(-1) * first
    assert np.array_equal(single, exact)


@given(SIZES, st.floats(0.01, 4), st.integers(0, 2**64 - 1))
def test_rotations_turn_and_turn_back(size, bits, seed):
    vector, layout = normal(size), rotation.shape(size, bits)
    there = rotation.forward(vector, layout, seed)
    assert np.linalg.norm(there) == pytest.approx(np.linalg.norm(vector) * layout.block, rel=1e-4)
    back = rotation.backward(there, layout, seed) / layout.block**2
    assert np.allclose(back[:size], vector, atol=1e-4)
    assert np.allclose(back[size:], 0, atol=1e-4)


@given(st.integers(1, 2**27), st.floats(0.01, 4))
def test_layouts_are_little_larger_and_mix_everything(size, bits):
    layout = rotation.shape(size, bits)
    mixing = [block for block in rotation.BLOCKS if block**2 >= size] or [4096]
    assert layout.block in mixing
    assert size <= layout.size
    least = min(-(-size // block) * block for block in mixing)
    assert (layout.size - size) * bits <= 64 + 0.01 * size or layout.size == least


@given(st.integers(entropy.SMALLEST_STEP, entropy.LARGEST_STEP), st.integers(1, 500), st.integers(0, 999))
def test_levels_come_back_from_their_bytes(step, count, seed):
    odds, draw = entropy.model(step), np.random.default_rng(seed)
    magnitudes, negative = draw.integers(0, odds.top + 1, count).astype(np.float32), draw.random(count) < 0.5
    sign_hiding.hide(magnitudes, np.where(magnitudes > 0, np.float32(-0.4), np.float32(0.3)), negative, odds.block)
    levels = np.where(negative, -magnitudes, magnitudes)
    assert np.array_equal(entropy.decode(entropy.encode(magnitudes, negative, step), count, step), levels)


@given(st.integers(0, 80), st.integers(1, 300), st.integers(0, 999))
def test_bytes_that_are_accepted_are_the_only_ones_for_their_levels(size, count, seed):
    data = np.random.default_rng(seed).bytes(size)
    try:
        levels = entropy.decode(data, count, 600)
    except WireError:
        return
    assert entropy.encode(np.abs(levels), levels < 0, 600) == data


def test_bytes_cut_off_or_left_over_are_refused():
    data = urq.encode(1.0, normal(3000), 1)
    for damaged in (data[:-1], data[:-4], data[:5] + data[9:], data + bytes([7]), data + bytes(1)):
        with pytest.raises(WireError, match=r"coded (levels are|vector is) damaged|ends in an empty byte"):
            urq.decode(1.1, damaged, 3000, 1)


def test_zeros_have_one_spelling():
    assert not urq.decode(1.0, bytes(5), 3000, 1).any()
    with pytest.raises(WireError, match="a scale or a step that no sender writes"):
        urq.decode(1.0, bytes(9), 3000, 1)


def test_more_bytes_than_the_budget_are_refused_before_they_are_read():
    with pytest.raises(WireError, match=r"\d+ bytes for a vector of 3000 values; expected at most 375 and at least 5"):
        urq.decode(1.0, urq.encode(1.0, normal(300_000), 1), 3000, 1)


@pytest.mark.parametrize(("step", "scale"), [(0, 1.0), (63, 1.0), (600, -1.0), (600, math.nan), (600, math.inf)])
def test_heads_that_no_encoder_writes_are_refused(step, scale):
    data = struct.pack("<H", step) + struct.pack("<f", scale)[1:] + urq.encode(1.0, normal(3000), 1)[5:]
    with pytest.raises(WireError, match="a scale or a step that no sender writes"):
        urq.decode(1.0, data, 3000, 1)


def test_a_scale_that_makes_values_infinite_is_refused():
    data = urq.encode(1.0, normal(3000), 1)
    with pytest.raises(WireError, match="holds NaN or ∞"):
        urq.decode(1.0, data[:2] + struct.pack("<f", 3e38)[1:] + data[5:], 3000, 1)


@pytest.mark.parametrize("bits", [0, 0.009, 4.1, -1, math.nan, math.inf])
def test_budgets_outside_of_the_bounds_are_refused(bits):
    with pytest.raises(WireError, match=r"codec urq takes 0.01 to 4 bits per value"):
        find("urq", bits)


def test_codecs_without_a_budget_take_none():
    with pytest.raises(WireError, match="codec int8_block has no budget, but 1 bits per value were named"):
        find("int8_block", 1.0)
