"""The view moves alike on both sides, and catches up with the model it follows."""

import hashlib
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation import codecs
from federation.errors import ManifestError, WireError
from federation.manifest import parse
from federation.shared_view import View, difference, join, moved, split
from federation.terms import ExchangeTerms
from simulations import specimens

TERMS = ExchangeTerms(down="ecq", down_bits=2.0, min_parties=1)


def gaussian(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size).astype(np.float32)


def test_the_name_of_a_view_is_the_digest_of_its_little_endian_floats() -> None:
    vector = gaussian(10, 1)
    assert View(vector).digest == hashlib.sha256(b"".join(value.tobytes() for value in vector)).hexdigest()


def test_what_one_difference_leaves_out_is_in_the_next() -> None:
    model, view = gaussian(5000, 1), View(gaussian(5000, 2))
    errors = [np.linalg.norm(model - view.vector)]
    for _ in range(6):
        view = moved(view, difference(view, model, TERMS), TERMS)
        errors.append(np.linalg.norm(model - view.vector))
    assert all(after < 0.5 * before for before, after in pairwise(errors))


def test_a_view_of_half_a_bit_follows_a_model_that_keeps_its_direction_within_a_round_and_a_half() -> None:
    terms = TERMS.model_copy(update={"down_bits": 0.5})
    direction, model, view = 0.3 * gaussian(6000, 1), np.zeros(6000, np.float32), View(np.zeros(6000, np.float32))
    late = []
    for round_number in range(40):
        model = model + direction + gaussian(6000, 2 + round_number)
        view = moved(view, difference(view, model, terms), terms)
        late.append((model - view.vector) @ direction / (direction @ direction))
    assert 0.5 < np.mean(late[20:]) < 1.5


def test_both_sides_make_the_same_view_of_the_same_bytes() -> None:
    before = View(gaussian(3000, 1))
    coded = difference(before, gaussian(3000, 2), TERMS)
    assert moved(before, coded, TERMS).digest == moved(View(before.vector.copy()), coded, TERMS).digest


def test_a_model_that_diverged_is_not_sent() -> None:
    huge = np.full(300, np.finfo(np.float32).max, np.float32)
    with pytest.raises(WireError, match="diverged"):
        difference(View(-huge), huge, TERMS)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5))
def test_differences_come_apart_as_they_were_joined(parts: list[bytes]) -> None:
    assert split(join(parts), len(parts)) == tuple(parts)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4), st.data())
def test_a_payload_that_was_cut_extended_or_counted_wrongly_is_refused(parts: list[bytes], data: st.DataObject) -> None:
    whole = join(parts)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for payload, count in ((cut, len(parts)), (whole + b"\0", len(parts)), (whole, len(parts) - 1)):
        with pytest.raises(WireError, match="do not end where the last"):
            split(payload, count)


def test_lengths_that_promise_more_than_there_is_take_no_memory() -> None:
    with pytest.raises(WireError):
        split(b"\xff" * 8, 1)


def test_a_step_out_of_the_range_of_float32_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = np.full(300, 3e38, np.float32)
    monkeypatch.setattr(codecs, "find", lambda *_: codecs.CODECS["raw32"])
    with pytest.raises(WireError, match="NaN or ∞"):
        moved(View(largest), largest.tobytes(), TERMS)


def test_scaffold_sends_a_vector_behind_the_model_which_no_difference_covers() -> None:
    words = specimens.manifest().model_dump(mode="json")
    words |= {"privacy": {"unit": "none"}, "evaluation": None}
    words["exchange"] |= {"up": "raw32", "down": "ecq", "down_bits": 0.5}
    words["training"]["scaffold"] = True
    with pytest.raises(ManifestError, match='scaffold = false, or down = "raw32"'):
        parse(json.dumps(words))
    words["exchange"] |= {"down": "raw32", "down_bits": 0.0}
    assert parse(json.dumps(words)).training.scaffold
