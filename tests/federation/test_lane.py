"""Lanes add up: sums of lanes decode to sums of vectors, right on average, with few wraps; packing is exact."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.codecs import lane
from federation.errors import WireError
from privacy.noise import os_source

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/lanes.json").read_text())
BITS = st.integers(4, 24)
SIZES = st.integers(1, 5000)
PARTIES = 10
SHAPES = {
    "spikes": lambda draw, size: draw.standard_t(2.1, size),
    "normal": lambda draw, size: draw.normal(size=size),
    "a spike": lambda draw, size: np.where(np.arange(size) == 5, 100.0, 1e-3 * draw.normal(size=size)),
    "layers": lambda draw, size: draw.standard_t(3, size) * np.repeat([1e-3, 1.0, 30.0], size // 3 + 1)[:size],
}


class Counting:
    """A source of randomness that says how much was read; all its bytes are the same."""

    def __init__(self, byte: int) -> None:
        self.byte, self.read_bytes = byte, 0

    def read(self, size_bytes: int) -> bytes:
        self.read_bytes += size_bytes
        return bytes([self.byte]) * size_bytes


def unit(kind: str, size: int, seed: int = 1) -> np.ndarray:
    vector = SHAPES[kind](np.random.default_rng(seed), size)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def summed(vectors, clip: float, bits: int, seed: int) -> np.ndarray:
    """Lanes of all vectors, added as the coordinator adds them."""
    each = [lane.to_lanes(vector, clip, len(vectors), bits, seed, os_source()) for vector in vectors]
    return lane.wrap(np.sum([lanes.astype(np.int64) for lanes in each], axis=0), bits)


def decoded(vectors, clip: float, bits: int, seed: int) -> np.ndarray:
    lanes = summed(vectors, clip, bits, seed)
    return lane.from_lanes(lanes, len(vectors[0]), clip, len(vectors), bits, seed).astype(np.float64)


def error(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.square(found - exact).sum() / np.square(exact, dtype=np.float64).sum())


@given(BITS, st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_lanes_come_back_from_their_bytes(bits, count, seed):
    lanes = np.random.default_rng(seed).integers(0, 2**bits, count).astype(lane.width(bits))
    data = lane.pack(lanes, bits)
    assert len(data) == math.ceil(count * bits / 8)
    assert np.array_equal(lane.unpack(data, count, bits), lanes)


@given(BITS, st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_lanes_are_packed_lowest_bit_first(bits, count, seed):
    lanes = np.random.default_rng(seed).integers(0, 2**bits, count).astype(lane.width(bits))
    whole = sum(int(value) << place * bits for place, value in enumerate(lanes))
    assert lane.pack(lanes, bits) == whole.to_bytes(math.ceil(count * bits / 8), "little")


@given(BITS, st.integers(0, 60), st.binary(max_size=100))
def test_bytes_that_are_read_as_lanes_are_the_only_ones_for_them(bits, count, data):
    data = data[: math.ceil(count * bits / 8)]
    try:
        lanes = lane.unpack(data, count, bits)
    except WireError:
        return
    assert lane.pack(lanes, bits) == data


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""])
def test_lanes_cut_off_or_left_over_are_refused(damage):
    data = lane.pack(np.arange(11, dtype=np.uint16), 9)
    with pytest.raises(WireError, match=r"\d+ bytes for 11 lanes of 9 bits; expected exactly 13"):
        lane.unpack(damage(data), 11, 9)


def test_bits_after_the_last_lane_are_zero():
    data = bytearray(lane.pack(np.arange(11, dtype=np.uint16), 9))
    data[-1] |= 0x80
    with pytest.raises(WireError, match="fill the last byte of the lanes are not zero"):
        lane.unpack(bytes(data), 11, 9)


@pytest.mark.parametrize("count", [-1, 10**15])
def test_an_absurd_number_of_lanes_is_refused_before_anything_is_allocated(count):
    with pytest.raises(WireError, match=f"10 bytes for {count} lanes"):
        lane.unpack(bytes(10), count, 8)


@pytest.mark.parametrize(
    "lanes", [np.array([256], np.uint16), np.array([1], np.uint32), np.zeros((2, 2), np.uint16), np.array([1.0])]
)
def test_only_lanes_are_packed(lanes):
    with pytest.raises(WireError, match=r"is no vector of lanes below 2\^8; pass what wrap\(\) makes"):
        lane.pack(lanes, 8)


@pytest.mark.parametrize("bits", [3, 25, 8.5, math.nan, math.inf, -8])
def test_widths_outside_of_the_bounds_are_refused(bits):
    with pytest.raises(WireError, match="a lane has 4 to 24 bits, a whole number; found"):
        lane.require_bits(bits)


@given(BITS, st.lists(st.integers(-(2**40), 2**40), max_size=20))
def test_numbers_wrap_and_unwrap_modulo_a_power_of_two(bits, numbers):
    exact, half = np.array(numbers, np.int64), 2 ** (bits - 1)
    assert np.array_equal(lane.unwrap(lane.wrap(exact, bits), bits), (exact + half) % (2 * half) - half)


@given(SIZES, st.integers(1, 4), st.integers(0, 2**64 - 1), st.sampled_from([np.float32, np.float64]))
def test_spread_vectors_keep_their_norms_and_come_back(size, people, seed, kind):
    rows = np.random.default_rng(size).standard_t(3, (people, size)).astype(kind)
    turned = lane.spread(rows, seed)
    assert turned.dtype == kind
    assert turned.shape == (people, lane.coordinates(size))
    assert np.allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(rows, axis=1), rtol=1e-5)
    assert np.allclose(lane.gather(turned[-1], size, seed), rows[-1], rtol=1e-4, atol=1e-5 * np.abs(rows[-1]).max())


@given(SIZES, st.integers(2, 40), st.sampled_from([np.float32, np.float64]))
def test_a_vector_is_spread_alike_whoever_else_is_spread_with_it(size, people, kind):
    rows = np.random.default_rng(size).standard_t(3, (people, size)).astype(kind)
    alone = [lane.spread(row[None], 3)[0] for row in rows]
    assert np.array_equal(lane.spread(rows, 3), alone)


@given(st.integers(1, 2**27))
def test_lanes_are_few_more_than_values(size):
    lanes = lane.coordinates(size)
    assert size <= lanes
    assert lanes <= 1.02 * size or size < 25_600


@pytest.mark.parametrize("kind", SHAPES)
def test_eight_bits_of_a_sum_of_parties_that_agree_are_enough(kind):
    errors, wraps, size = [], [], 14_000
    for seed in range(6):
        vector = unit(kind, size, seed)
        lanes = summed([vector] * PARTIES, 1.0, 8, seed)
        found = lane.from_lanes(lanes, size, 1.0, PARTIES, 8, seed)
        errors.append(error(found, PARTIES * vector))
        turned = lane.spread(vector[None].astype(np.float64), seed)[0] * PARTIES / lane.step(size, 1.0, PARTIES, 8)
        wraps.append(np.mean(np.abs(lane.unwrap(lanes, 8) - turned) > 2**7))
    assert np.median(errors) <= 0.0025
    assert np.mean(wraps) <= 1e-4


@pytest.mark.parametrize("bits", [4, 6, 8, 12, 16, 24])
def test_more_bits_bring_less_error(bits):
    vector, parties = unit("spikes", 20_000), 3
    # The least: one coordinate in some ten thousands may wrap, and then it is most of the error.
    errors = [error(decoded([vector] * parties, 1.0, bits, seed), parties * vector) for seed in range(9)]
    step = lane.step(20_000, 1.0, parties, bits) * lane.coordinates(20_000) ** 0.5 / parties
    assert min(errors) < 1.1 * parties * step**2 / 6 + 1e-11


@pytest.mark.parametrize("bits", [4, 6, 8, 12, 16, 24])
@pytest.mark.parametrize("parties", [1, 4, 13])
def test_the_step_is_the_smallest_whose_sums_are_proven_to_wrap_seldom(bits, parties):
    step, size = lane.step(20_000, 0.5, parties, bits), lane.coordinates(20_000)
    variance = (parties * 0.5 / step) ** 2 / size + parties / 4
    normal = math.erfc(2 ** (bits - 1) / math.sqrt(2 * variance))
    assert 5.699 * normal == pytest.approx(min(1e-4, 4.0**-bits), rel=1e-3), "Pinelis 2006: at most 5.699 times as many"


@given(SIZES, st.integers(1, 6), st.integers(14, 24), st.integers(0, 2**64 - 1))
def test_sums_of_lanes_decode_to_sums_of_vectors(size, parties, bits, seed):
    vectors = [unit("normal", size, seed % 1000 + party) for party in range(parties)]
    exact = np.sum(vectors, axis=0, dtype=np.float64)
    # Every party's rounding adds at most one step to each coordinate.
    furthest = parties * lane.step(size, 1.0, parties, bits) * math.sqrt(lane.coordinates(size)) * 1.01
    assert np.linalg.norm(decoded(vectors, 1.0, bits, seed) - exact) <= furthest


def test_decoding_is_linear():
    vectors, parties, bits, seed = [unit("spikes", 3000, party) for party in range(4)], 4, 16, 8
    each = [lane.to_lanes(vector, 1.0, parties, bits, seed, os_source()) for vector in vectors]
    total = lane.wrap(np.sum([lanes.astype(np.int64) for lanes in each], axis=0), bits)
    one_by_one = [lane.from_lanes(lanes, 3000, 1.0, parties, bits, seed) for lanes in each]
    assert np.allclose(lane.from_lanes(total, 3000, 1.0, parties, bits, seed), np.sum(one_by_one, axis=0), atol=1e-6)


def test_lanes_are_right_on_average():
    vector, draws = unit("a spike", 300), 400
    errors = np.stack([decoded([vector] * 2, 1.0, 6, 5) - 2 * vector for _ in range(draws)])
    first, second = errors[::2].mean(axis=0), errors[1::2].mean(axis=0)
    assert abs(first @ second) < 0.001 * 4
    assert np.linalg.norm(errors.mean(axis=0)) < 1.3 * np.linalg.norm(errors[0]) / draws**0.5


@pytest.mark.parametrize(("norm", "expected"), [(0.5, 0.5), (1.0, 1.0), (40.0, 1.0), (0.0, 0.0)])
def test_vectors_are_scaled_to_the_clip_and_never_up(norm, expected):
    vector = (norm * unit("spikes", 5000)).astype(np.float32)
    assert np.linalg.norm(decoded([vector], 1.0, 20, 4)) == pytest.approx(expected, abs=1e-3)


def test_the_rounding_takes_its_bits_from_the_source_and_nothing_else():
    vector = unit("normal", 1000)
    low, high = Counting(0), Counting(255)
    down, up = (lane.to_lanes(vector, 1.0, 3, 8, 7, source) for source in (low, high))
    assert low.read_bytes >= 4 * lane.coordinates(1000)
    assert set((lane.unwrap(up, 8) - lane.unwrap(down, 8)).tolist()) == {1}
    assert np.array_equal(down, lane.to_lanes(vector, 1.0, 3, 8, 7, Counting(0)))
    first, second = (lane.to_lanes(vector, 1.0, 3, 8, 7, os_source()) for _ in range(2))
    assert not np.array_equal(first, second)


def test_a_source_that_runs_dry_rounds_nothing():
    class Dry:
        def read(self, _size_bytes: int) -> bytes:
            return b"\0" * 8

    with pytest.raises(Exception, match="the source of randomness gave 8 bytes instead of"):
        lane.to_lanes(unit("normal", 100), 1.0, 3, 8, 7, Dry())


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e38])
def test_vectors_that_diverged_are_not_sent(value):
    with pytest.raises(WireError, match="holds NaN, ∞ or a magnitude above"):
        lane.to_lanes(np.array([1, value], np.float32), 1.0, 3, 8, 7, os_source())


@pytest.mark.parametrize("size", [0, -1, 2**27 + 1])
def test_absurd_sizes_have_no_lanes(size):
    with pytest.raises(WireError, match=f"a vector of {size} values; lanes take 1 to"):
        lane.coordinates(size)


def test_too_many_parties_for_few_bits_are_refused():
    assert lane.step(1000, 1.0, 13, 4) > 0
    with pytest.raises(WireError, match="the rounding of 14 parties alone overflows lanes of 4 bits; write more"):
        lane.step(1000, 1.0, 14, 4)
    with pytest.raises(WireError, match="expected a party and a clip above 0"):
        lane.step(1000, math.nan, 3, 8)


@pytest.mark.parametrize("lanes", [np.zeros(64, np.uint16), np.full(128, 256, np.uint16), np.zeros(128, np.uint32)])
def test_sums_that_are_no_lanes_are_refused(lanes):
    with pytest.raises(WireError, match=r"expected 128 coordinates|is no vector of lanes below 2\^8"):
        lane.from_lanes(lanes, 100, 1.0, 3, 8, 5)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: f"{case['bits']} bits")
def test_lanes_are_those_of_the_vector_files(case):
    bits, lanes = case["bits"], np.array(case["lanes"], lane.width(case["bits"]))
    assert lane.pack(lanes, bits).hex() == case["bytes"]
    assert np.array_equal(lane.unpack(bytes.fromhex(case["bytes"]), len(lanes), bits), lanes)
    padded = np.pad(lanes, (0, lane.coordinates(30) - len(lanes)))
    decoded = lane.from_lanes(padded, 30, case["clip"], case["parties"], bits, case["seed"])
    assert np.allclose(decoded, [float.fromhex(value) for value in case["decoded"]], rtol=1e-6, atol=0)


@pytest.mark.parametrize(("apart", "least", "most"), [(1, 0.0, 1e-4), (64, 0.0, 1e-4), (4096, 1e-3, 5e-3)])
def test_how_often_sums_of_vectors_wrap_whose_values_stand_far_apart(apart, least, most):
    """All parties send the same one at the clip; the first rotation cannot spread values 4096 places apart evenly."""
    size, seeds = 2**17, 8
    places = np.arange(0, size, apart)
    half = 2**7 * lane.step(size, 1.0, PARTIES, 8)
    beyond = 0
    for seed in range(seeds):
        vector = np.zeros(size)
        vector[places] = np.random.default_rng(0).standard_normal(len(places))
        turned = lane.spread(vector[None] / np.linalg.norm(vector), seed)[0]
        beyond += np.count_nonzero(np.abs(PARTIES * turned) > half)
    assert least <= beyond / (seeds * size) <= most
