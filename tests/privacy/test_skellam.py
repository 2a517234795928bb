"""Shares of noise are Skellam to far beyond what floating point could show, and add up to what was promised."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats

from federation.codecs import lane
from privacy import skellam as module
from privacy.audits import Claim, audit
from privacy.errors import BoundError, PrivacyError, TermsError
from privacy.fixed_point import bound_integers, no_integers
from privacy.levels import ample_levels, steps_per_clip
from privacy.noise import os_source
from privacy.skellam import NoiseShared, add_share, skellam

LEAST_PROBABLE = 1e-6


class Words:
    """A source that hands out given words of 64 bits."""

    def __init__(self, *words: int) -> None:
        self.bytes = b"".join(word.to_bytes(8, "little") for word in words)

    def read(self, size_bytes: int) -> bytes:
        found, self.bytes = self.bytes[:size_bytes], self.bytes[size_bytes:]
        return found


def probable(draws, variance):
    """p-value of a chi-square test against Skellam(variance), in cells that hold at least 20 draws."""
    reach = int(4 * math.sqrt(variance)) + 3
    edges = np.arange(-reach, reach + 1, max(1, reach // 40))
    cdf = stats.skellam.cdf(edges, variance / 2, variance / 2)
    expected = np.diff(np.concatenate([[0], cdf, [1]])) * len(draws)
    seen = np.bincount(np.searchsorted(edges, draws), minlength=len(edges) + 1)
    kept = expected >= 20
    observed = np.append(seen[kept], seen[~kept].sum())
    wanted = np.append(expected[kept], expected[~kept].sum())
    filled = wanted > 0
    return stats.chisquare(observed[filled], wanted[filled] * (observed.sum() / wanted.sum())).pvalue


@pytest.mark.parametrize("variance", [0.01, 0.5, 2, 37.5, 1e3, 1e6])
def test_draws_are_skellam(variance):
    draws = skellam(100_000, variance, os_source())
    assert draws.dtype == np.int64
    assert probable(draws, variance) > LEAST_PROBABLE


@pytest.mark.parametrize("variance", [0.01, 1.0, 400.0, 1e6, 1e8])
def test_moments_are_those_of_skellam(variance):
    draws = skellam(200_000, variance, os_source())
    deviation = math.sqrt(variance / len(draws))
    assert draws.mean() == pytest.approx(0, abs=6 * deviation)
    kurtosis = 3 + 1 / variance
    assert draws.var() == pytest.approx(variance, abs=6 * variance * math.sqrt((kurtosis - 1) / len(draws)))
    assert (draws**3.0).mean() == pytest.approx(0, abs=6 * (variance**1.5) * math.sqrt(15 * kurtosis**2 / len(draws)))


@pytest.mark.parametrize("variance", [1e-6, 0.01, 1.0, 37.5, 400.0])
def test_probabilities_are_exact_to_a_hundred_bits(variance):
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(80):
        table, distance = module._table(variance), mpmath.mpf(0)
        sums = [int(high) << 64 | int(low) for high, low in zip(table.high, table.low, strict=True)]
        for place, (below, above) in enumerate(zip([0, *sums], [*sums, 2**128], strict=True)):
            wanted = mpmath.exp(-variance) * mpmath.besseli(abs(table.lowest + place), variance)
            distance += abs(mpmath.mpf(above - below) / mpmath.mpf(2) ** 128 - wanted) / 2
        assert distance < mpmath.mpf(2) ** -100


def test_the_tail_that_is_left_out_weighs_nothing():
    for variance in (1e-6, 1.0, 1e3, 2.0**26):
        reach = module._reach(variance)
        assert reach**2 / (2 * (variance + reach / 3)) >= 114 * math.log(2)


def test_a_word_that_equals_a_threshold_is_decided_by_a_second_one():
    table = module._table(4.0)
    middle = -table.lowest  # the threshold between 0 and 1
    high, low = int(table.high[middle]), int(table.low[middle])
    assert skellam(1, 4.0, Words(high, low - 1)).tolist() == [0]
    assert skellam(1, 4.0, Words(high, low)).tolist() == [1]
    assert skellam(1, 4.0, Words(high - 1)).tolist() == [0]
    assert skellam(1, 4.0, Words(high + 1)).tolist() == [1]


def test_the_smallest_and_largest_words_fall_at_the_ends():
    lowest, highest = skellam(1, 4.0, Words(0, 0))[0], skellam(1, 4.0, Words(2**64 - 1, 2**64 - 1))[0]
    reach = module._reach(4.0)
    assert -reach <= lowest < -30
    assert 30 < highest <= reach


def test_draws_differ_from_call_to_call_and_between_coordinates():
    source = os_source()
    first, second = skellam(100_000, 50.0, source), skellam(100_000, 50.0, source)
    for left, right in ((first, second), (first[:-1], first[1:]), (first**2, second**2)):
        assert abs(np.corrcoef(left, right)[0, 1]) < 6 / math.sqrt(len(left))


def test_many_draws_are_made_in_chunks(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 7)
    assert probable(skellam(20_000, 9.0, os_source()), 9.0) > LEAST_PROBABLE
    assert skellam(0, 9.0, os_source()).tolist() == []


def test_a_large_variance_is_a_sum_of_smaller_ones(monkeypatch):
    monkeypatch.setattr(module, "_TABLE_VARIANCE", 3.0)
    assert probable(skellam(50_000, 10.0, os_source()), 10.0) > LEAST_PROBABLE


@pytest.mark.parametrize("variance", [0.0, -1.0, 1e-7, 1e13, math.nan, math.inf, None, "1", True])
def test_absurd_variances_are_refused(variance):
    with pytest.raises(TermsError, match="variance"):
        skellam(3, variance, os_source())


@pytest.mark.parametrize(("sigma", "levels", "sharers"), [(1.0, 50, 3), (0.5, 400, 16), (4.0, 13, 1)])
def test_shares_of_all_sharers_add_up_to_the_noise_that_was_promised(sigma, levels, sharers):
    source = os_source()
    nobody = [no_integers(500, levels) for _ in range(40)]
    total = np.concatenate(
        [sum(add_share(part, sigma, sharers, source).vector for _ in range(sharers)) for part in nobody]
    )
    assert probable(total, (sigma * levels) ** 2) > LEAST_PROBABLE


def test_fewer_survivors_than_sharers_carry_less_noise_and_more_carry_more():
    source, nobody = os_source(), no_integers(50_000, 500)
    for parties, share in ((3, 0.75), (4, 1.0), (6, 1.5)):
        total = sum(add_share(nobody, 2.0, 4, source).vector for _ in range(parties))
        assert total.var() == pytest.approx(share * 1000.0**2, rel=0.05)


def test_noise_is_added_to_the_sum():
    bounded = bound_integers(torch.full((1, 4), 0.5), 1.0, lambda rows: rows, 10**5, os_source())
    shared = add_share(bounded, 0.01, 1, os_source())
    np.testing.assert_allclose(shared.vector, [50_000] * 4, atol=10 * 1000)
    assert (shared.vector != bounded.vector).any()
    assert (shared.noise_multiplier, shared.levels, shared.sharers) == (0.01, 10**5, 1)


@pytest.mark.parametrize("value", [np.zeros(3, np.int64), [0, 0], None])
def test_what_was_not_bounded_gets_no_share(value):
    with pytest.raises(BoundError, match="only BoundedIntegers can be noised"):
        add_share(value, 1.0, 2, os_source())


@pytest.mark.parametrize("sigma", [math.nan, math.inf, 0.0, -1.0, "1", None, True])
def test_absurd_noise_is_refused(sigma):
    with pytest.raises(TermsError, match="noise multiplier"):
        add_share(no_integers(3, 100), sigma, 2, os_source())


@pytest.mark.parametrize("sharers", [0, -1, 1.5, 1001, None, True])
def test_an_absurd_number_of_sharers_is_refused(sharers):
    with pytest.raises(TermsError, match="sharers of the noise"):
        add_share(no_integers(3, 100), 1.0, sharers, os_source())


def test_a_share_is_made_by_add_share_only_and_does_not_change():
    with pytest.raises(PrivacyError, match="made by hand"):
        NoiseShared(np.zeros(3, np.int64), 1.0, 100, 2, object())
    shared = add_share(no_integers(3, 100), 1.5, 2, os_source())
    with pytest.raises(ValueError, match="seal"):
        dataclasses.replace(shared, sharers=1)
    with pytest.raises(ValueError, match="read-only"):
        shared.vector[0] = 1
    assert repr(shared) == "NoiseShared(3 coordinates, σ = 1.5 with 2 sharers, 100 levels)"


@pytest.mark.parametrize(("present", "sharers", "refuted"), [(4, 4, False), (1, 9, True)])
def test_an_audit_of_all_steps_finds_no_more_than_was_promised_unless_shares_are_missing(present, sharers, refuted):
    source, claim = os_source(), Claim(0.5, 2.0, 1e-3)
    scale = claim.clip / steps_per_clip(200, 4)

    def step(updates):
        parts = [bound_integers(updates, claim.clip, lambda rows: rows, 200, source)]
        parts += [no_integers(4, 200)] * (present - 1)
        return sum(add_share(part, claim.noise_multiplier, sharers, source).vector for part in parts) * scale

    assert audit(step, claim, 4, 600).refuted == refuted


def test_what_the_receiver_reads_is_the_sum_with_the_promised_noise_in_units_of_the_clip():
    # Rotated, rounded, noised by six parties of whom four are enough, summed modulo 2^16, and turned back.
    source, size, clip, sigma, bits = os_source(), 3000, 2.0, 1.0, 16
    coordinates = lane.coordinates(size)
    levels = ample_levels(coordinates)
    updates = torch.randn(6, 5, size, generator=torch.Generator().manual_seed(1)) * 0.1
    total = sum(
        add_share(
            bound_integers(part, clip, lambda rows: lane.spread(rows, 7), levels, source), sigma, 4, source
        ).vector
        for part in updates
    )
    read = lane.unwrap((total % 2**bits).astype(np.uint16), bits) * (clip / steps_per_clip(levels, coordinates))
    clipped = updates * (clip / updates.norm(dim=2, keepdim=True)).clamp(max=1)
    error = lane.gather(read, size, 7) - clipped.sum(dim=(0, 1)).numpy()
    inflation = levels / steps_per_clip(levels, coordinates)
    assert error.std() == pytest.approx(sigma * clip * math.sqrt(6 / 4) * inflation, rel=0.1)
    assert abs(error.mean()) < 6 * error.std() / math.sqrt(size)
