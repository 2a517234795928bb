"""Noise that parties share: Skellam draws in whole numbers, exact enough that their error is no part of δ.

Skellam(v), the difference of two Poisson(v/2) variables, has mean 0 and variance v, and sums of independent draws are
Skellam of the summed variance: so each party adds a share, and the sum that leaves secure aggregation carries all of
it (Agarwal, Kairouz, Liu 2021, 'The Skellam Mechanism for Differentially Private Federated Learning', §2).
"""

import math
from dataclasses import InitVar, dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from privacy.charges import SampledSkellam
from privacy.errors import BoundError, PrivacyError, TermsError
from privacy.fixed_point import BoundedIntegers, Integers
from privacy.noise import RandomSource, words

Words = npt.NDArray[np.uint64]

LOWEST_VARIANCE: Final = 1e-6
HIGHEST_VARIANCE: Final = 1e12
MOST_SHARERS: Final = 1000
_TABLE_VARIANCE: Final = 2.0**26
_TAIL: Final = 160  # 2 ln of the tail's weight: 2 e^{-80} is below 2^-114
_START: Final = 2**192
_CHUNK: Final = 2**18
_SEAL: Final = object()


@dataclass(frozen=True, eq=False)
class NoiseShared:
    """A sum of people with one party's share of the noise, `vector` int64 (coordinates,): to be masked, nothing else.

    Safe only inside a sum over at least `sharers` honest parties: alone it carries 1/sharers of the variance. Only
    `add_share` makes one.
    """

    vector: Integers
    noise_multiplier: float
    levels: int
    sharers: int
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise PrivacyError(
                "a NoiseShared value was made by hand; expected one made by privacy.skellam.add_share()."
            )

    def __repr__(self) -> str:
        return (
            f"NoiseShared({self.vector.size} coordinates, σ = {self.noise_multiplier:g} with {self.sharers} sharers, "
            f"{self.levels} levels)"
        )


def add_share(bounded: BoundedIntegers, noise_multiplier: float, sharers: int, source: RandomSource) -> NoiseShared:
    """`bounded` plus Skellam noise of variance (σ × levels)² / `sharers` per coordinate.

    `sharers` is the least number of honest parties whose shares the sum is sure to hold, not how many take part: with
    more of them there is more noise, with fewer the promise would not hold.
    """
    if not isinstance(bounded, BoundedIntegers):
        raise BoundError(
            f"found {type(bounded).__name__}; only BoundedIntegers can be noised, because the noise is measured by "
            "their levels. Pass the updates through privacy.fixed_point.bound_integers() first."
        )
    SampledSkellam(1.0, noise_multiplier, bounded.levels)  # refuses what is no σ
    if isinstance(sharers, bool) or not isinstance(sharers, int) or not 1 <= sharers <= MOST_SHARERS:
        raise TermsError(f"found {sharers!r} sharers of the noise; expected a whole number from 1 to {MOST_SHARERS}.")
    variance = (noise_multiplier * bounded.levels) ** 2 / sharers
    noised = bounded.vector + skellam(bounded.vector.size, variance, source)
    noised.setflags(write=False)
    return NoiseShared(noised, noise_multiplier, bounded.levels, sharers, _SEAL)


def skellam(count: int, variance: float, source: RandomSource) -> Integers:
    """`count` draws from Skellam(`variance`), int64 (count,): by inversion of a table of 128-bit probabilities.

    The statistical distance of one draw to Skellam is below 2⁻¹⁰⁰ (`_table` says why); 2⁴⁰ draws together are within
    2⁻⁶⁰, so that nothing has to be added to δ. Variances above 2²⁶ are sums of several draws.
    """
    if isinstance(variance, bool) or not isinstance(variance, int | float):
        raise TermsError(f"found a variance of {variance!r}; expected a number.")
    if not LOWEST_VARIANCE <= variance <= HIGHEST_VARIANCE:
        raise TermsError(
            f"found noise of variance {variance:g}; expected {LOWEST_VARIANCE:g} to {HIGHEST_VARIANCE:g}. "
            "Choose other levels: the variance is (noise multiplier × levels)² over the sharers."
        )
    pieces = math.ceil(variance / _TABLE_VARIANCE)
    table = _table(variance / pieces)
    drawn = np.zeros(count, dtype=np.int64)
    for start in range(0, count, _CHUNK):
        for _ in range(pieces):
            part = drawn[start : start + _CHUNK]
            part += _inverted(table, part.size, source)
    return drawn


@dataclass(frozen=True, eq=False)
class _Table:
    """Thresholds P(X < k) × 2¹²⁸ for k above `lowest`, rising, as two words each: (thresholds,)."""

    lowest: int
    high: Words
    low: Words


def _inverted(table: _Table, count: int, source: RandomSource) -> Integers:
    """Draws by inversion: the number of thresholds that are at most a uniform number of 128 bits.

    The second word decides only where the first equals a threshold's: hardly ever, so it is drawn only then.
    """
    uniform = words(count, source)
    places = np.searchsorted(table.high, uniform, side="right")
    ties = np.flatnonzero((places > 0) & (table.high[places - 1] == uniform))
    for tie, second in zip(ties, words(ties.size, source), strict=True):
        first = int(np.searchsorted(table.high, uniform[tie], side="left"))
        places[tie] = first + np.searchsorted(table.low[first : places[tie]], second, side="right")
    drawn: Integers = places.astype(np.int64, copy=False)
    drawn += table.lowest
    return drawn


@lru_cache(maxsize=8)
def _table(variance: float) -> _Table:
    """Thresholds of Skellam(v), whose probabilities are e^{-v} I_k(v) for |k| ≤ K.

    Bessel functions by Miller's backward recurrence I_{k-1} = I_{k+1} + (2k/v) I_k (Abramowitz & Stegun, §9.12) in
    whole numbers of at least 192 bits, normed by their own sum, so that no error of floating point enters. What is
    left out beyond K, and what the recurrence's start costs, weighs less than 2⁻¹¹⁰ (Bernstein: P(|X| ≥ K) ≤
    2 exp(-K²/2(v + K/3))); cutting the thresholds off at 128 bits costs at most 2⁻¹²⁹ each.
    """
    reach = _reach(variance)
    half = _bessel(variance, reach)
    weights = half[:0:-1] + half  # of -K … K
    total, sum_so_far, thresholds = sum(weights), 0, []
    for weight in weights[:-1]:
        sum_so_far += weight
        thresholds.append((sum_so_far << 128) // total)
    mask = 2**64 - 1
    high = np.array([threshold >> 64 for threshold in thresholds], dtype=np.uint64)
    low = np.array([threshold & mask for threshold in thresholds], dtype=np.uint64)
    return _Table(-reach, high, low)


def _reach(variance: float) -> int:
    """K with K²/(v + K/3) ≥ `_TAIL`."""
    return math.ceil(_TAIL / 6 + math.sqrt((_TAIL / 6) ** 2 + _TAIL * variance))


def _bessel(variance: float, reach: int) -> list[int]:
    """Numbers proportional to I_0(v) … I_reach(v)."""
    exact = Fraction(variance)
    above, found = 0, [_START]
    for order in range(reach, 0, -1):
        below = above + 2 * order * exact.denominator * found[-1] // exact.numerator
        above = found[-1]
        found.append(below)
    return found[::-1]
