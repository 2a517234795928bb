"""Shares of a secret: any `threshold` of them give it back, fewer tell nothing (Shamir 1979, "How to share a secret").

A share is the value at a party's point of a polynomial whose value at 0 is the secret, over the integers modulo the
first prime above 2²⁵⁶. Shares hide the secret whatever the computer; the time that it takes to make them does not.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from operator import mul
from typing import Final

from privacy.errors import SecaggError
from privacy.noise import RandomSource
from privacy.secagg.checks import KEY_BYTES, draw, require_bytes, require_points

PRIME: Final = 2**256 + 297
SHARE_BYTES: Final = 33
_WIDE_BYTES: Final = 64


def split(secret: bytes, threshold: int, points: Sequence[int], source: RandomSource) -> dict[int, bytes]:
    """A share of `SHARE_BYTES` bytes for each of `points`; `secret` is 32 bytes.

    Coefficients are 64 bytes modulo the prime, further from uniform by less than 2⁻²⁵⁴.
    """
    require_bytes("secret", secret, KEY_BYTES)
    require_points(points)
    _require_threshold(threshold, len(points))
    drawn = [draw(source, _WIDE_BYTES) for _ in range(threshold - 1)]
    coefficients = [int.from_bytes(secret, "little"), *(int.from_bytes(data, "little") % PRIME for data in drawn)]
    return {point: _value(coefficients, point).to_bytes(SHARE_BYTES, "little") for point in points}


def join(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """The secret. With more than `threshold` shares, all of them must lie on one polynomial.

    With exactly `threshold` shares a wrong one gives a wrong secret, and nothing here can tell: compare what comes out
    with what its owner published.
    """
    require_shares(shares, threshold)
    points = tuple(sorted(shares))
    values = [int.from_bytes(shares[point], "little") for point in points]
    if max(values) >= PRIME:
        raise SecaggError("found a share outside the field; expected what split() makes. Leave its sender out.")
    restored: list[int] = [sum(map(mul, row, values)) % PRIME for row in _interpolation(points, threshold)]
    secret, predicted = restored[0], restored[1:]
    if predicted != values[threshold:]:
        raise SecaggError(
            f"{len(values)} shares do not lie on one polynomial of threshold {threshold}; at least one of them is "
            "wrong. The secret was not restored: give the round up, and look at who sent what."
        )
    if secret >= 2 ** (8 * KEY_BYTES):
        raise SecaggError(f"the shares give no secret of {KEY_BYTES} bytes; at least one of them is wrong. Try again.")
    return secret.to_bytes(KEY_BYTES, "little")


def require_shares(shares: Mapping[int, bytes], threshold: int) -> None:
    """Refuse fewer shares than the threshold, and what cannot be a share of anything."""
    require_points(shares)
    _require_threshold(threshold, len(shares))
    for point, share in shares.items():
        require_bytes(f"share of point {point}", share, SHARE_BYTES)


def _require_threshold(threshold: int, available: int) -> None:
    if type(threshold) is not int or threshold < 2:
        raise SecaggError(f"found threshold {threshold!r}; expected at least 2: below, each share is the secret.")
    if available < threshold:
        raise SecaggError(f"found {available} shares; expected at least the threshold of {threshold}.")


def _value(coefficients: Sequence[int], point: int) -> int:
    """The polynomial at `point` (Horner)."""
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * point + coefficient) % PRIME
    return value


@lru_cache(maxsize=128)
def _interpolation(points: tuple[int, ...], threshold: int) -> tuple[tuple[int, ...], ...]:
    """Weights of the first `threshold` values (Lagrange): a row for the value at 0, then one for each further point.

    One set of points serves all secrets of a round; the weights are public.
    """
    known, targets = points[:threshold], (0, *points[threshold:])
    weights = [pow(prod(one - other for other in known if other != one), -1, PRIME) for one in known]
    inverses = {away: pow(away, -1, PRIME) for away in {target - one for target in targets for one in known}}
    rows = []
    for target in targets:
        away = prod(target - one for one in known) % PRIME
        pairs = zip(known, weights, strict=True)
        rows.append(tuple(away * weight % PRIME * inverses[target - one] % PRIME for one, weight in pairs))
    return tuple(rows)
