"""A link of a log has one spelling, the one of RFC 8785."""

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from clients.store.chain import canonical

VALUES = st.none() | st.text() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e300, 1e300)


@given(previous=st.text("0123456789abcdef"), body=st.dictionaries(st.text(st.characters(max_codepoint=127)), VALUES))
def test_the_fast_spelling_is_that_of_rfc_8785(previous: str, body: dict[str, str | int | float | None]) -> None:
    assert canonical("log", previous, body) == rfc8785.dumps({"log": "log", "previous": previous, "body": body})
