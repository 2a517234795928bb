"""Finds a shared secret, and whose shares are wrong, where not all shares lie on one polynomial.

Shares are the words of a Reed-Solomon code (McEliece & Sarwate 1981, "On sharing secrets and Reed-Solomon codes"):
with s shares beyond the threshold, any s/2 wrong ones are found.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from privacy.errors import SecaggError
from privacy.secagg.shamir import PRIME, SHARE_BYTES, join, require_shares

Polynomial = list[int]
"""Coefficients modulo the prime, the lowest first; the last one is not zero."""


def restore(shares: Mapping[int, bytes], threshold: int) -> tuple[bytes, frozenset[int]]:
    """The secret, and the points of the wrong shares, of which there are at most half as many as shares to spare.

    With fewer than two to spare this is `join`; with more wrong ones the secret may be wrong, or there is none.
    """
    require_shares(shares, threshold)
    try:
        return join(shares, threshold), frozenset()
    except SecaggError:
        if len(shares) < threshold + 2:
            raise
    points = sorted(shares)
    values = [int.from_bytes(shares[point], "little") for point in points]
    found = _decoded(points, values, threshold)
    right = {point: value for point, value in zip(points, values, strict=True) if _value(found, point) == value}
    kept = {point: value.to_bytes(SHARE_BYTES, "little") for point, value in right.items()}
    return join(kept, threshold), frozenset(shares.keys() - kept.keys())


def _decoded(points: Sequence[int], values: Sequence[int], threshold: int) -> Polynomial:
    """The polynomial below the degree `threshold` through all points but a few (Gao 2003, "A new algorithm for
    decoding Reed-Solomon codes", Algorithm 1).
    """
    whole: Polynomial = [1]
    for point in points:
        whole = _times(whole, [-point % PRIME, 1])
    above, rest = whole, _through(points, values, whole)
    before, locator = [0], [1]
    while 2 * (len(rest) - 1) >= len(points) + threshold:
        quotient, left = _divided(above, rest)
        above, rest = rest, left
        before, locator = locator, _minus(before, _times(quotient, locator))
    found, left = _divided(rest, locator)
    if left or len(found) > threshold:
        raise SecaggError(
            f"more of {len(points)} shares are wrong than can be found with a threshold of {threshold}. The secret was "
            "not restored: give the round up, and look at who sent what."
        )
    return found


def _through(points: Sequence[int], values: Sequence[int], whole: Polynomial) -> Polynomial:
    """The polynomial through all points (Lagrange); `whole` is zero at each of them."""
    total = [0] * len(points)
    for point, value in zip(points, values, strict=True):
        basis, _ = _divided(whole, [-point % PRIME, 1])
        weight = value * pow(_value(basis, point), -1, PRIME)
        total = [(sum_so_far + weight * part) % PRIME for sum_so_far, part in zip(total, basis, strict=True)]
    return _trimmed(total)


def _divided(above: Polynomial, below: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Quotient and rest."""
    rest, quotient = list(above), [0] * max(len(above) - len(below) + 1, 0)
    inverse = pow(below[-1], -1, PRIME)
    for place in reversed(range(len(quotient))):
        factor = rest[place + len(below) - 1] * inverse % PRIME
        quotient[place] = factor
        for offset, part in enumerate(below, start=place):
            rest[offset] = (rest[offset] - factor * part) % PRIME
    return _trimmed(quotient), _trimmed(rest)


def _times(one: Polynomial, other: Polynomial) -> Polynomial:
    product = [0] * (len(one) + len(other))
    for place, factor in enumerate(one):
        for offset, part in enumerate(other, start=place):
            product[offset] += factor * part
    return _trimmed([value % PRIME for value in product])


def _minus(one: Polynomial, other: Polynomial) -> Polynomial:
    return _trimmed([(left - right) % PRIME for left, right in zip_longest(one, other, fillvalue=0)])


def _trimmed(polynomial: Polynomial) -> Polynomial:
    while polynomial and not polynomial[-1]:
        polynomial.pop()
    return polynomial


def _value(polynomial: Polynomial, point: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * point + coefficient) % PRIME
    return value
