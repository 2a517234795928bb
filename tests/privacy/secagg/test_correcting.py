"""Wrong shares are found wherever they stand, up to half as many as there are to spare."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.errors import SecaggError
from privacy.noise import os_source
from privacy.secagg.correcting import restore
from privacy.secagg.shamir import PRIME, SHARE_BYTES, join, split

VALUES = st.integers(0, 2 ** (8 * SHARE_BYTES) - 1)


@st.composite
def sharings(draw):
    """A secret, its threshold, its shares at points in any order, and those of them that may be wrong."""
    points = draw(st.lists(st.integers(1, 65_535), min_size=2, max_size=16, unique=True))
    threshold = draw(st.integers(2, len(points)))
    secret = draw(st.binary(min_size=32, max_size=32))
    wrong = draw(st.lists(st.sampled_from(points), max_size=(len(points) - threshold) // 2, unique=True))
    return secret, threshold, split(secret, threshold, points, os_source()), frozenset(wrong)


@settings(max_examples=60, deadline=None)
@given(sharings(), st.data())
def test_the_secret_and_the_wrong_shares_are_found(sharing, data):
    secret, threshold, shares, wrong = sharing
    for point in wrong:
        value = data.draw(VALUES.filter(lambda value, right=shares[point]: value.to_bytes(33, "little") != right))
        shares[point] = value.to_bytes(SHARE_BYTES, "little")
    assert restore(shares, threshold) == (secret, wrong)


def test_a_hundred_parties_are_told_apart_from_sixteen_liars_among_them():
    shares = split(b"s" * 32, 67, range(1, 101), os_source())
    liars = frozenset({*range(1, 9), *range(93, 101)})
    lied = shares | {point: shares[101 - point] for point in liars}
    assert restore(lied, 67) == (b"s" * 32, liars)
    with pytest.raises(SecaggError, match="more of 100 shares are wrong than can be found with a threshold of 67"):
        restore(lied | {50: shares[51]}, 67)


@pytest.mark.parametrize("spare", [0, 1])
def test_what_cannot_be_corrected_is_joined(spare):
    shares = split(b"s" * 32, 3, range(1, 4 + spare), os_source())
    assert restore(shares, 3) == (b"s" * 32, frozenset())
    shares[1] = shares[2]
    if spare:
        with pytest.raises(SecaggError, match="do not lie on one polynomial"):
            restore(shares, 3)
    else:
        assert restore(shares, 3) == (join(shares, 3), frozenset())


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(-1, 9), st.binary(min_size=32, max_size=34), max_size=8), st.integers(-1, 9))
def test_whatever_comes_as_shares_gives_32_bytes_or_a_clean_error(shares, threshold):
    try:
        secret, wrong = restore(shares, threshold)
    except SecaggError:
        return
    assert len(secret) == 32
    assert wrong <= shares.keys()


def test_a_secret_that_is_none_is_not_restored():
    polynomial = [PRIME - 1, 5, 7]
    values = {point: sum(part * point**power for power, part in enumerate(polynomial)) % PRIME for point in range(1, 7)}
    shares = {point: value.to_bytes(SHARE_BYTES, "little") for point, value in values.items()}
    shares[4] = shares[5]
    with pytest.raises(SecaggError, match="the shares give no secret of 32 bytes"):
        restore(shares, 3)
