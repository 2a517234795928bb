"""Canonical JSON: the fast way writes what the reference writes, and refuses what it refuses."""

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from federation import canonical
from federation.errors import Refusal

WHOLE = st.integers(-(2**54), 2**54)
PLAIN = st.none() | st.booleans() | WHOLE | st.floats(allow_nan=True) | st.text()
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
)


def written(dumps, value):
    try:
        return dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeError):
        return "none"


@given(VALUES)
@example({"\U00010000": 1, "\ufffd": 2})
@example({"a": 2**53, "b": [-(2**53)]})
@example({"a": 2**53 - 1, "b": [1.0, 1e-7, 1e21]})
@example(['\x00\x1f\x7f\u2028"\\/\b\f\n\r\t', "é€😀"])
@example({"b": 1, "a": {"ab": [], "a": {}}, "": None, "B": True})
def test_both_ways_write_the_same_bytes(value):
    assert written(canonical.dumps, value) == written(rfc8785.dumps, value)


@pytest.mark.parametrize("value", [Refusal.STORE, {"code": Refusal.STORE}, (1, "a")])
def test_names_of_a_closed_list_are_words_and_tuples_are_lists(value):
    assert canonical.dumps(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [{1: 2}, {"a": {1, 2}}, {"a": b"bytes"}, "\ud800"])
def test_what_is_no_json_has_no_bytes(value):
    assert written(canonical.dumps, value) == written(rfc8785.dumps, value) == "none"
