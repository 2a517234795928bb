"""Any threshold of shares gives the secret, fewer give nothing, a wrong one among more is found."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from privacy.errors import PrivacyError, SecaggError
from privacy.noise import os_source
from privacy.secagg.shamir import PRIME, SHARE_BYTES, join, split

LEAST_PROBABLE = 1e-6
SECRETS = st.binary(min_size=32, max_size=32)


@st.composite
def sharings(draw):
    """Some secret's shares with their threshold, at points in any order."""
    points = draw(st.lists(st.integers(1, 65_535), min_size=2, max_size=14, unique=True))
    threshold = draw(st.integers(2, len(points)))
    secret = draw(SECRETS)
    return secret, threshold, split(secret, threshold, points, os_source())


@settings(max_examples=60, deadline=None)
@given(sharings(), st.data())
def test_any_shares_from_the_threshold_on_give_the_secret(sharing, data):
    secret, threshold, shares = sharing
    some = data.draw(st.lists(st.sampled_from(sorted(shares)), min_size=threshold, unique=True))
    assert join({point: shares[point] for point in some}, threshold) == secret


@settings(max_examples=60, deadline=None)
@given(sharings(), SECRETS)
def test_fewer_shares_than_the_threshold_fit_every_secret(sharing, other):
    _, threshold, shares = sharing
    *seen, unseen = sorted(shares)[:threshold]
    # The one polynomial through `other` at 0 and the shares that were seen has a value at the last point.
    value = interpolated(
        {0: int.from_bytes(other, "little")} | {point: number(shares[point]) for point in seen}, unseen
    )
    forged = {point: shares[point] for point in seen} | {unseen: value.to_bytes(SHARE_BYTES, "little")}
    assert join(forged, threshold) == other


def interpolated(values, target):
    """The plain formula of Lagrange."""
    total = 0
    for one, value in values.items():
        above = below = 1
        for other in values:
            if other != one:
                above, below = above * (target - other) % PRIME, below * (one - other) % PRIME
        total += value * above * pow(below, -1, PRIME)
    return total % PRIME


def number(share):
    return int.from_bytes(share, "little")


def test_the_prime_is_one():
    # Fermat, to bases enough that no composite of this kind passes.
    assert all(pow(base, PRIME - 1, PRIME) == 1 for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37))
    assert 2**256 < PRIME < 2 ** (8 * SHARE_BYTES)


@pytest.mark.parametrize("place", [0, 15, 31])
def test_a_share_is_distributed_alike_whatever_the_secret(place):
    # A table of counts: two secrets by the values of one byte of the first share; 1-point sharings are uniform.
    source, counts = os_source(), np.zeros((2, 16), np.int64)
    for row, secret in enumerate((bytes(32), b"\xff" * 32)):
        for _ in range(3000):
            counts[row, split(secret, 2, [1, 2], source)[1][place] >> 4] += 1
    assert stats.chi2_contingency(counts).pvalue > LEAST_PROBABLE
    assert stats.chisquare(counts.sum(axis=0)).pvalue > LEAST_PROBABLE


def test_two_shares_below_the_threshold_are_distributed_alike_whatever_the_secret():
    source, counts = os_source(), np.zeros((2, 16), np.int64)
    for row, secret in enumerate((bytes(32), b"\xff" * 32)):
        for _ in range(3000):
            shares = split(secret, 3, [1, 2, 3], source)
            difference = (number(shares[2]) - 2 * number(shares[1])) % PRIME  # of a line this would be −secret
            counts[row, (difference >> 252) & 15] += 1
    assert stats.chi2_contingency(counts).pvalue > LEAST_PROBABLE


def test_two_sharings_of_one_secret_have_no_share_in_common():
    first, second = (split(bytes(32), 3, range(1, 6), os_source()) for _ in range(2))
    assert all(first[point] != second[point] for point in first)


@settings(max_examples=60, deadline=None)
@given(sharings(), st.data())
def test_a_wrong_share_among_more_than_the_threshold_is_found(sharing, data):
    _, threshold, shares = sharing
    if len(shares) == threshold:
        return
    wrong = data.draw(st.sampled_from(sorted(shares)))
    value = (number(shares[wrong]) + data.draw(st.integers(1, PRIME - 1))) % PRIME
    with pytest.raises(SecaggError, match="do not lie on one polynomial"):
        join(shares | {wrong: value.to_bytes(SHARE_BYTES, "little")}, threshold)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.integers(-1, 9), st.binary(max_size=40) | st.binary(min_size=33, max_size=33)),
    st.integers(-1, 6),
)
def test_whatever_comes_as_shares_gives_32_bytes_or_a_clean_error(shares, threshold):
    with contextlib.suppress(SecaggError):
        assert len(join(shares, threshold)) == 32


def test_a_share_at_another_point_is_found():
    shares = split(bytes(32), 3, range(1, 6), os_source())
    with pytest.raises(SecaggError, match="do not lie on one polynomial"):
        join(shares | {1: shares[2], 2: shares[1]}, 3)


def test_too_few_shares_are_refused():
    shares = split(bytes(32), 3, range(1, 6), os_source())
    with pytest.raises(SecaggError, match="found 2 shares; expected at least the threshold of 3"):
        join({1: shares[1], 2: shares[2]}, 3)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (b"", "found 0 bytes as share of point 1; expected 33"),
        (bytes(32), "found 32 bytes as share"),
        (bytes(34), "found 34 bytes as share"),
        (None, "found NoneType as share"),
        (PRIME.to_bytes(33, "little"), "outside the field"),
        (b"\xff" * 33, "outside the field"),
    ],
)
def test_a_share_that_split_does_not_make_is_refused(share, text):
    with pytest.raises(SecaggError, match=text):
        join(split(bytes(32), 2, [1, 2, 3], os_source()) | {1: share}, 2)


def test_shares_of_no_secret_are_refused():
    constant = (2**256 + 5).to_bytes(33, "little")  # a constant polynomial beyond 32 bytes
    with pytest.raises(SecaggError, match="no secret of 32 bytes"):
        join({1: constant, 2: constant}, 2)


@pytest.mark.parametrize(
    "points", [[0, 1, 2], [-1, 1, 2], [1, 1, 2], [1, 2, 65_536], [1, 2, True], [1.0, 2, 3], ["1", 2]]
)
def test_points_that_give_the_secret_away_or_are_none_are_refused(points):
    with pytest.raises(SecaggError, match="expected distinct whole numbers from 1"):
        split(bytes(32), 2, points, os_source())
    if len(set(points)) == len(points):
        with pytest.raises(SecaggError, match="expected distinct whole numbers from 1"):
            join(dict.fromkeys(points, bytes(33)), 2)


@pytest.mark.parametrize("threshold", [1, 0, -1, True, 2.0, None])
def test_a_threshold_at_which_each_share_is_the_secret_is_refused(threshold):
    with pytest.raises(SecaggError, match="each share is the secret"):
        split(bytes(32), threshold, [1, 2, 3], os_source())
    with pytest.raises(SecaggError, match="each share is the secret"):
        join(dict.fromkeys((1, 2, 3), bytes(33)), threshold)


def test_a_threshold_above_the_number_of_points_is_refused():
    with pytest.raises(SecaggError, match="found 3 shares; expected at least the threshold of 4"):
        split(bytes(32), 4, [1, 2, 3], os_source())


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), bytearray(32), "0" * 32, 0])
def test_only_secrets_of_32_bytes_are_shared(secret):
    with pytest.raises(SecaggError, match="as secret; expected 32 bytes"):
        split(secret, 2, [1, 2, 3], os_source())


def test_a_source_that_falls_short_is_refused():
    class Short:
        def read(self, size_bytes: int) -> bytes:
            return bytes(size_bytes - 1)

    with pytest.raises(PrivacyError, match="instead of 64; nothing was masked"):
        split(bytes(32), 2, [1, 2, 3], Short())


def test_each_coefficient_is_read_anew():
    reads = []

    class Counting:
        def read(self, size_bytes: int) -> bytes:
            reads.append(size_bytes)
            return bytes(size_bytes)

    split(bytes(32), 4, range(1, 6), Counting())
    assert reads == [64, 64, 64]
