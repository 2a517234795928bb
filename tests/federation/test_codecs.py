"""Codecs keep what they declare: sizes, errors, bias; decoders refuse what no encoder writes."""

import json
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from federation.codecs import BUDGETED, CODECS, find, int8_block, raw16
from federation.errors import WireError

FILES = Path(__file__).parents[1] / "vectors"
VECTORS, BAD = (json.loads((FILES / name).read_text()) for name in ("codecs.json", "codecs-bad.json"))
ALL = {**CODECS, **{f"{name}-{bits:g}": make(bits) for name, make in BUDGETED.items() for bits in (0.1, 3.0)}}
EACH = pytest.mark.parametrize("codec", ALL.values(), ids=ALL)
FIXED = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
BIASED = pytest.mark.parametrize("codec", [codec for codec in ALL.values() if not codec.unbiased], ids=lambda c: c.name)
UNBIASED = pytest.mark.parametrize("codec", [codec for codec in ALL.values() if codec.unbiased], ids=lambda c: c.name)


def vectors(largest: float) -> st.SearchStrategy:
    values = st.floats(-largest, largest, width=32) | st.floats(-1, 1, width=32)
    return arrays(np.float32, st.integers(0, 600), elements=values, fill=st.just(np.float32(0)))


@given(vectors(float(np.finfo(np.float32).max)), st.integers(0, 2**64 - 1))
def test_raw32_gives_back_the_very_bits(vector, seed):
    codec = find("raw32")
    decoded = codec.decode(codec.encode(vector, seed), len(vector), seed)
    assert decoded.tobytes() == vector.tobytes()
    assert codec.lossless
    assert codec.unbiased


@given(vectors(raw16.LARGEST))
def test_raw16_error_is_within_half_a_unit_in_the_last_place(vector):
    codec = find("raw16")
    decoded = codec.decode(codec.encode(vector, 0), len(vector), 0)
    assert np.all(np.abs(decoded - vector) <= np.maximum(np.abs(vector) * 2.0**-11, 2.0**-25))


@given(vectors(int8_block.LARGEST), st.integers(0, 2**64 - 1))
def test_int8_block_error_is_below_the_scale_of_its_block(vector, seed):
    codec = find("int8_block")
    decoded = codec.decode(codec.encode(vector, seed), len(vector), seed)
    for start in range(0, len(vector), int8_block.BLOCK):
        block = slice(start, start + int8_block.BLOCK)
        exact = vector[block].astype(np.float64)
        scale = np.abs(exact).max() / 127
        assert np.all(np.abs(decoded[block] - exact) <= scale * (1 + 1e-5) + 3e-45)


def test_int8_block_is_unbiased_over_shared_seeds():
    codec, draws = find("int8_block"), 4000
    vector = np.random.default_rng(1).standard_t(3, 300).astype(np.float32)
    decoded = np.stack([codec.decode(codec.encode(vector, seed), 300, seed) for seed in range(draws)])
    scale = np.repeat([np.abs(vector[:256]).max(), np.abs(vector[256:]).max()], [256, 44]) / 127
    z_scores = (decoded.mean(axis=0, dtype=np.float64) - vector) / (scale * 0.5 / draws**0.5)
    assert np.abs(z_scores).max() < 5  # a step's standard deviation is at most half the scale


def test_int8_block_rounding_depends_on_the_seed_alone():
    vector = np.linspace(-1, 1, 999, dtype=np.float32)
    assert find("int8_block").encode(vector, 7) == find("int8_block").encode(vector, 7)
    assert find("int8_block").encode(vector, 7) != find("int8_block").encode(vector, 8)


@EACH
@given(size=st.integers(0, 2000))
def test_no_encoding_is_longer_than_declared(codec, size):
    vector = np.random.default_rng(size).normal(size=size).astype(np.float32)
    assert len(codec.encode(vector, size)) <= codec.max_bytes(size)


@EACH
def test_zeros_stay_zeros(codec):
    assert not codec.decode(codec.encode(np.zeros(700, np.float32), 3), 700, 3).any()


@EACH
def test_decoded_vectors_are_float32_which_nothing_changes_afterwards(codec):
    data = codec.encode(np.ones(5, np.float32), 0)
    decoded = codec.decode(data, 5, 0)
    assert decoded.dtype == np.float32
    # raw32 reads the message where it lies.
    assert not (decoded.flags.writeable and np.shares_memory(decoded, np.frombuffer(data, np.uint8)))


@EACH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 255, 256, 299])
def test_nan_and_infinity_are_not_sent(codec, value, place):
    vector = np.ones(300, np.float32)
    vector[place] = value
    with pytest.raises(WireError, match="holds NaN, ∞ or a magnitude above"):
        codec.encode(vector, 0)


@pytest.mark.parametrize(("name", "value"), [("raw16", 65520.0), ("int8_block", 2e38)])
def test_a_magnitude_that_a_codec_cannot_carry_is_an_error_not_infinity(name, value):
    with pytest.raises(WireError, match="which this codec cannot carry"):
        find(name).encode(np.array([value], np.float32), 0)


@EACH
@pytest.mark.parametrize("vector", [np.ones(3), np.ones((3, 1), np.float32), np.ones(3, np.int8)])
def test_only_flat_float32_is_encoded(codec, vector):
    with pytest.raises(WireError, match="takes flat float32 vectors; found"):
        codec.encode(vector, 0)


@FIXED
@pytest.mark.parametrize("size", [299, 301])
def test_a_size_that_the_bytes_do_not_have_is_refused(codec, size):
    data = codec.encode(np.ones(300, np.float32), 0)
    with pytest.raises(WireError, match=f"bytes for a vector of {size} values; expected exactly"):
        codec.decode(data, size, 0)


@EACH
@pytest.mark.parametrize("size", [-1, 0, 10**15])
def test_an_absurd_size_is_refused_before_anything_is_allocated(codec, size):
    data = codec.encode(np.ones(300, np.float32), 0)
    with pytest.raises(WireError, match=rf"a vector of {size} values"):
        codec.decode(data, size, 0)


@EACH
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""])
def test_cut_off_and_left_over_bytes_are_refused(codec, change):
    data = codec.encode(np.ones(300, np.float32), 0)
    with pytest.raises(
        WireError,
        match=r"for a vector of 300 values; expected (exactly|at most)|(is|are) damaged|an empty byte|no sender",
    ):
        codec.decode(change(data), 300, 0)


@EACH
@given(data=st.binary(max_size=400), size=st.integers(0, 400), seed=st.integers(0, 2**64 - 1))
def test_any_bytes_are_refused_or_become_a_finite_vector(codec, data, size, seed):
    try:
        decoded = codec.decode(data, size, seed)
    except WireError:
        return
    assert decoded.shape == (size,)
    assert np.isfinite(decoded).all()


@EACH
@given(size=st.integers(1, 700), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_leaves_a_finite_vector(codec, size, place, bit):
    data = bytearray(codec.encode(np.random.default_rng(size).normal(size=size).astype(np.float32), 4))
    data[int(place * len(data))] ^= 1 << bit
    try:
        decoded = codec.decode(bytes(data), size, 4)
    except WireError:
        return
    assert np.isfinite(decoded).all()


@EACH
def test_lossless_codecs_and_only_they_give_back_the_bits(codec):
    vector = np.random.default_rng(2).normal(size=500).astype(np.float32)
    same = np.array_equal(codec.decode(codec.encode(vector, 1), 500, 1), vector)
    assert same == codec.lossless


@UNBIASED
def test_unbiased_codecs_are_right_on_average_even_about_spikes(codec):
    draws, size = 400, 1500
    spiky = np.random.default_rng(5).normal(size=size).astype(np.float32)
    spiky[:3] = 100, -80, 60
    errors = np.stack([codec.decode(codec.encode(spiky, seed), size, seed) - spiky for seed in range(2 * draws)])
    energy = float(spiky @ spiky)
    # The errors of disjoint seeds are independent: only what they have in common, the bias, is left of the product.
    first, second = errors[:draws].mean(axis=0, dtype=np.float64), errors[draws:].mean(axis=0, dtype=np.float64)
    assert abs(first @ second) < 0.01 * energy
    assert abs((first + second) @ spiky) < 0.01 * 2 * energy


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("raw32", "<I"), ("raw16", "<H")],
)
@pytest.mark.parametrize("quiet", [True, False])
@pytest.mark.parametrize("place", [0, 130, 299])
def test_float_decoders_refuse_nan_and_infinity(name, pattern, quiet, place):
    whole = {"raw32": (0x7FC00000, 0x7F800001), "raw16": (0x7E00, 0x7C01)}[name][0 if quiet else 1]
    infinite = {"raw32": 0xFF800000, "raw16": 0xFC00}[name]
    width = struct.calcsize(pattern)
    for bits in (whole, infinite):
        data = bytearray(find(name).encode(np.ones(300, np.float32), 0))
        data[place * width : (place + 1) * width] = struct.pack(pattern, bits)
        with pytest.raises(WireError, match="holds NaN or ∞; the sender is broken or hostile"):
            find(name).decode(bytes(data), 300, 0)


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0, 3e38])
def test_int8_block_decoder_refuses_scales_that_no_encoder_writes(scale):
    data = bytearray(find("int8_block").encode(np.ones(300, np.float32), 0))
    data[4:8] = struct.pack("<f", scale)
    with pytest.raises(WireError, match="a scale or a step that no sender writes"):
        find("int8_block").decode(bytes(data), 300, 0)


def test_int8_block_decoder_refuses_the_step_that_no_encoder_writes():
    data = bytearray(find("int8_block").encode(np.ones(300, np.float32), 0))
    data[-1] = 0x80  # -128
    with pytest.raises(WireError, match="a scale or a step that no sender writes"):
        find("int8_block").decode(bytes(data), 300, 0)


def test_names_come_from_a_closed_list():
    assert {"raw32", "raw16", "int8_block"} <= set(CODECS)
    assert all(name == codec.name for name, codec in CODECS.items())
    with pytest.raises(
        WireError, match=r"codec 'os.system' is unknown; this version knows raw32, raw16, int8_block, urq"
    ):
        find("os.system")


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: f"{case['codec']}-{case['bits']}-{case['what']}")
def test_bytes_are_those_of_the_vector_files(case):
    codec = find(case["codec"], case["bits"])
    vector = np.array([float.fromhex(value) for value in case["vector"]], np.float32)
    decoded = np.array([float.fromhex(value) for value in case["decoded"]], np.float32)
    assert codec.encode(vector, case["seed"]).hex() == case["bytes"]
    assert codec.decode(bytes.fromhex(case["bytes"]), len(vector), case["seed"]).tobytes() == decoded.tobytes()


@pytest.mark.parametrize("case", BAD, ids=lambda case: f"{case['codec']}-{case['what']}")
def test_bytes_of_the_vector_files_that_are_damaged_are_refused(case):
    codec = find(case["codec"], case["bits"])
    with pytest.raises(WireError, match=case["error"]):
        codec.decode(bytes.fromhex(case["bytes"]), case["size"], 11)


@EACH
@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 513, 5000])
def test_a_round_trip_keeps_size_and_direction(codec, size):
    vector = np.random.default_rng(size).standard_t(3, size).astype(np.float32)
    decoded = codec.decode(codec.encode(vector, 9), size, 9)
    assert decoded.shape == (size,)
    assert float(decoded @ vector) > 0 or not size


@EACH
def test_same_vector_and_seed_same_bytes(codec):
    vector = np.random.default_rng(7).standard_t(3, 3000).astype(np.float32)
    before = vector.copy()
    assert codec.encode(vector, 5) == codec.encode(vector.copy(), 5)
    assert np.array_equal(vector, before)


@BIASED
def test_codecs_that_are_not_unbiased_are_biased(codec):
    vector = np.full(300, 1 + 2.0**-12, np.float32)
    vector[:3] = 100, -80, 60
    errors = [codec.decode(codec.encode(vector, seed), 300, seed) - vector for seed in range(20)]
    assert np.linalg.norm(np.mean(errors, axis=0)) == pytest.approx(np.linalg.norm(errors[0]))


@EACH
@pytest.mark.parametrize("kind", ["honest", "random", "zeros"])
def test_decoding_takes_memory_for_the_size_that_it_was_told_and_no_more(codec, kind):
    size = 2**18
    data = codec.encode(np.random.default_rng(1).normal(size=size).astype(np.float32), 5)
    body = {"honest": data[8:], "random": np.random.default_rng(2).bytes(len(data) - 8), "zeros": bytes(len(data) - 8)}
    tracemalloc.start()
    try:
        codec.decode(data[:8] + body[kind], size, 5)
    except WireError:
        assert kind != "honest"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 40 * size + 2**20
