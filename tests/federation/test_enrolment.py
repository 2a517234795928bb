"""The join token and the bytes that parties sign over HTTP."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.enrolment import Invitation, decode_token, encode_token, request_bytes
from federation.errors import EnrolmentError
from federation.ids import Fingerprint, PartyId
from federation.roles import Role

INVITATION = Invitation(
    address="https://127.0.0.1:9443",
    ca_sha256="a" * 64,
    coordinator=Fingerprint("b" * 64),
    secret="c" * 64,
    party=PartyId("city-runners"),
    role=Role.DATA_PROVIDER,
    name="City Runners é",
    expires_at=datetime(2026, 1, 1, tzinfo=UTC),
)
TOKEN = encode_token(INVITATION)


def test_a_token_is_one_line_that_decodes_to_its_invitation() -> None:
    assert "\n" not in TOKEN
    assert decode_token(TOKEN) == INVITATION
    assert decode_token(f"  {TOKEN[:50]}\n{TOKEN[50:]}\n") == INVITATION


def test_a_secret_does_not_print() -> None:
    assert "c" * 64 not in repr(INVITATION)


@given(st.integers(min_value=len("paceline1."), max_value=len(TOKEN) - 1))
def test_a_truncated_token_is_told_from_a_foreign_one(length: int) -> None:
    with pytest.raises(EnrolmentError, match="truncated or damaged"):
        decode_token(TOKEN[:length])


@given(st.integers(min_value=len("paceline1."), max_value=len(TOKEN) - 1), st.sampled_from("AZaz09-_"))
def test_a_changed_letter_is_found(position: int, letter: str) -> None:
    changed = TOKEN[:position] + letter + TOKEN[position + 1 :]
    try:
        assert decode_token(changed) == INVITATION  # the same letter, or unused bits of the last one
    except EnrolmentError as error:
        assert "truncated or damaged" in str(error)  # noqa: PT017


def test_another_text_is_not_a_token() -> None:
    with pytest.raises(EnrolmentError, match="not a join token"):
        decode_token("hello")


def test_every_part_of_a_request_is_signed() -> None:
    base = ("GET", "/paceline/v1/members", b"", PartyId("a"), "t", "n")
    changed = [(*base[:i], b"x" if isinstance(base[i], bytes) else "x", *base[i + 1 :]) for i in range(len(base))]
    assert len({request_bytes(*parts) for parts in [base, *changed]}) == len(base) + 1  # type: ignore[arg-type]
