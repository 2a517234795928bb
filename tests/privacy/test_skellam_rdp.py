"""Bounds of shared noise against divergences computed from exact probabilities, and against an attack that samples."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import comb, logsumexp

from privacy import accounting
from privacy.accounting import ORDERS, SampledGaussian, SampledSkellam
from privacy.audits import most_events
from privacy.errors import TermsError
from privacy.noise import os_source, uniform
from privacy.skellam import _bessel, skellam

SMALL = [order for order in ORDERS if order <= 32]
WHOLE = [ORDERS.index(order) for order in (*range(2, 33), 64)]


def logs(variance, reach):
    """ln P(X = k), k = -reach … reach, from whole numbers; the sum runs far beyond, so that the ends are exact too."""
    numbers = _bessel(variance, 2 * reach)
    total = math.log(2 * sum(numbers) - numbers[0])
    half = np.array([math.log(number) - total for number in numbers[: reach + 1]])
    return np.concatenate([half[:0:-1], half])


def pair(variance, shift, reach):
    """ln of the probabilities of noise that is shifted, and of noise that is not."""
    wide = logs(variance, reach + shift)
    return wide[: 2 * reach + 1], wide[shift : shift + 2 * reach + 1]


def divergence(left, right, order):
    return logsumexp(order * left - (order - 1) * right) / (order - 1)


def sampled(left, right, rate):
    return np.logaddexp(math.log(rate) + left, math.log1p(-rate) + right) if rate < 1 else left


@pytest.mark.parametrize("rate", [1.0, 0.5, 0.1, 0.01])
@pytest.mark.parametrize(("noise", "levels"), [(0.5, 20), (1.0, 1), (1.0, 5), (1.0, 40), (3.0, 2), (5.0, 10)])
def test_no_divergence_in_one_dimension_is_above_the_curve(rate, noise, levels):
    # Both ways, for one person who moves one coordinate by all their levels.
    deviation = noise * levels
    left, right = pair(deviation**2, levels, int(40 * levels + 15 * deviation) + 60)
    mixed = sampled(left, right, rate)
    curve = accounting.rdp(SampledSkellam(rate, noise, levels), 1)
    for order in SMALL:
        bound = curve[ORDERS.index(order)]
        assert divergence(mixed, right, order) <= bound + 1e-9
        assert divergence(right, mixed, order) <= bound + 1e-9


@pytest.mark.parametrize(("noise", "levels"), [(0.5, 6), (1.0, 2), (1.0, 10), (3.0, 4)])
def test_no_divergence_of_a_person_who_spreads_over_many_coordinates_is_above_the_curve(noise, levels):
    # Divergences of independent coordinates add up: levels² coordinates are moved by 1 each, or four by half of all.
    curve = accounting.rdp(SampledSkellam(1.0, noise, levels), 1)
    for moved, step in ((levels**2, 1), (4, levels // 2)):
        left, right = pair((noise * levels) ** 2, step, int(40 * levels + 15 * noise * levels) + 60)
        for order in SMALL:
            assert moved * divergence(left, right, order) <= curve[ORDERS.index(order)] + 1e-9


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.01])
@pytest.mark.parametrize(("noise", "levels", "vector"), [(1.0, 5, (3, 4)), (0.5, 2, (1, 1, 1)), (0.7, 3, (2, 2, 1))])
def test_no_divergence_of_a_sampled_person_who_spreads_over_coordinates_is_above_the_curve(rate, noise, levels, vector):
    # A mixture over all coordinates together: here divergences do not add up.
    variance, left, right = (noise * levels) ** 2, 0.0, 0.0
    reach = int(10 * math.sqrt(variance)) + 12
    for axis, step in enumerate(vector):
        shape = [-1 if other == axis else 1 for other in range(len(vector))]
        moved, still = pair(variance, step, reach)
        left, right = left + moved.reshape(shape), right + still.reshape(shape)
    mixed, curve = sampled(left, right, rate), accounting.rdp(SampledSkellam(rate, noise, levels), 1)
    for order in (2, 3, 5, 8, 16):
        bound = curve[ORDERS.index(order)]
        assert divergence(mixed, right, order) <= bound + 1e-9
        assert divergence(right, mixed, order) <= bound + 1e-9


def test_at_whole_orders_it_is_the_theorem_of_agarwal_kairouz_and_liu():
    for noise, levels, order in itertools.product((0.5, 2.0), (3, 50), (2, 7, 64)):
        mean, l2, l1 = (noise * levels) ** 2, levels, levels**2
        more = min(((2 * order - 1) * l2**2 + 6 * l1) / (4 * mean**2), 3 * l1 / (2 * mean))
        found = accounting.rdp(SampledSkellam(1.0, noise, levels), 1)[ORDERS.index(order)]
        assert found == pytest.approx(order * l2**2 / (2 * mean) + more)


def test_with_sampling_it_is_the_theorem_of_zhu_and_wang():
    def mechanism(order):
        return accounting.rdp(SampledSkellam(1.0, 1.5, 30), 1)[ORDERS.index(order)]

    for rate, order in itertools.product((0.01, 0.1, 0.2), (2, 3, 8, 30)):
        terms = [(1 - rate) ** (order - 1) * (order * rate - rate + 1)]
        terms.append(comb(order, 2) * rate**2 * (1 - rate) ** (order - 2) * math.exp(mechanism(2)))
        for part in range(3, order + 1):
            chance = comb(order, part) * rate**part * (1 - rate) ** (order - part)
            terms.append(3 * chance * math.exp((part - 1) * mechanism(part)))
        expected = min(math.log(sum(terms)) / (order - 1), mechanism(order))
        found = accounting.rdp(SampledSkellam(rate, 1.5, 30), 1)[ORDERS.index(order)]
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("rate", [1.0, 0.1])
def test_between_whole_orders_it_is_the_straight_line(rate):
    curve = dict(zip(ORDERS, accounting.rdp(SampledSkellam(rate, 2.0, 50), 1), strict=True))
    assert curve[1.5] == pytest.approx(curve[2])
    assert 2.5 * curve[3.5] == pytest.approx((2 * curve[3] + 3 * curve[4]) / 2)


def test_with_many_levels_it_is_the_curve_of_the_gaussian_and_with_few_it_is_above():
    gaussian = accounting.rdp(SampledGaussian(1.0, 0.7), 1)[WHOLE]
    excess = [accounting.rdp(SampledSkellam(1.0, 0.7, levels), 1)[WHOLE] / gaussian - 1 for levels in (3, 30, 2**20)]
    assert excess[0].min() > excess[1].min() > 1e-4
    assert 0 <= excess[2].max() < 1e-9


@settings(max_examples=50, deadline=None)
@given(rate=st.floats(1e-9, 1), noise=st.floats(1e-7, 1e6), levels=st.integers(1, 2**20), steps=st.integers(0, 10**9))
def test_a_curve_is_finite_never_negative_and_rises_with_the_order(rate, noise, levels, steps):
    curve = accounting.rdp(SampledSkellam(rate, noise, levels), steps)
    assert np.isfinite(curve).all()
    assert (curve >= 0).all()
    assert (np.diff(curve) >= 0).all()


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(1e-6, 1), noise=st.floats(0.3, 50), levels=st.integers(1, 5000))
def test_epsilon_falls_with_noise_and_levels_and_rises_with_the_rate(rate, noise, levels):
    here = accounting.epsilon(SampledSkellam(rate, noise, levels), 30, 1e-5)
    assert accounting.epsilon(SampledSkellam(rate, noise * 1.5, levels), 30, 1e-5) <= here * (1 + 1e-9)
    assert accounting.epsilon(SampledSkellam(rate, noise, levels + 1), 30, 1e-5) <= here * (1 + 1e-9)
    assert accounting.epsilon(SampledSkellam(rate * 0.7, noise, levels), 30, 1e-5) <= here * (1 + 1e-9)
    assert accounting.epsilon(SampledGaussian(rate, noise), 30, 1e-5) <= here * (1 + 1e-9)


@pytest.mark.parametrize(
    ("rate", "noise", "steps", "dearer"), [(0.01, 1, 1000, 1.17), (0.1, 2, 500, 1.33), (0.5, 2, 20, 1.69)]
)
def test_how_much_dearer_sampled_shared_noise_is_than_noise_at_the_node(rate, noise, steps, dearer):
    shared = accounting.epsilon(SampledSkellam(rate, noise, 1024), steps, 1e-5)
    assert shared / accounting.epsilon(SampledGaussian(rate, noise), steps, 1e-5) == pytest.approx(dearer, abs=0.01)


@pytest.mark.parametrize(("rate", "noise", "steps"), [(1.0, 4.0, 6), (0.2, 1.0, 6)])
def test_an_attack_on_sampled_rounds_finds_less_than_was_promised(rate, noise, steps):
    # The likelihood ratio of all rounds, with and without one person who moves one coordinate by all their levels.
    levels, trials, delta, source = 8, 40_000, 1e-3, os_source()
    variance, reach = (noise * levels) ** 2, int(30 * noise * levels)
    left, right = pair(variance, levels, reach)
    ratio = sampled(left, right, rate) - right
    scores = []
    for present in (levels, 0):
        drawn = skellam(trials * steps, variance, source)
        drawn += present * (uniform(drawn.size, source) < rate)
        scores.append(ratio[np.clip(drawn + reach, 0, 2 * reach)].reshape(trials, steps).sum(axis=1))
    promised = accounting.epsilon(SampledSkellam(rate, noise, levels), steps, delta)
    found = max(best(*scores, delta), best(-scores[1], -scores[0], delta))
    assert 0.2 * promised < found <= promised


def best(present, absent, delta):
    """A lower bound of ε from how often scores are high, false with a probability below 10⁻⁶."""
    half, found = len(present) // 2, 0.0
    for bar in np.quantile(absent[:half], (0.5, 0.8, 0.95, 0.98, 0.99)):
        hits, alarms = int((present[half:] > bar).sum()), int((absent[half:] > bar).sum())
        caught = 1 - most_events(half - hits, half, 1e-7)
        if caught > delta:
            found = max(found, math.log((caught - delta) / most_events(alarms, half, 1e-7)))
    return found


@pytest.mark.parametrize(("target", "rate", "levels"), [(1.0, 1.0, 1024), (8.0, 0.1, 64), (4.0, 0.5, 3)])
def test_noise_for_is_the_smallest_noise_within_the_budget(target, rate, levels):
    noise = accounting.noise_for(target, rate, 10, 1e-5, levels)
    assert accounting.epsilon(SampledSkellam(rate, noise, levels), 10, 1e-5) <= target
    assert accounting.epsilon(SampledSkellam(rate, noise - 1e-4, levels), 10, 1e-5) > target
    assert noise >= accounting.noise_for(target, rate, 10, 1e-5)


def test_pld_is_the_binding_figure_and_replacing_costs_a_vector_that_turns_round():
    cost = SampledSkellam(0.1, 3.0, 100)
    assert accounting.epsilon_pld(cost, 10, 1e-5) == accounting.epsilon(cost, 10, 1e-5)
    turned = SampledSkellam(1.0, 1.5, 200)
    assert accounting.epsilon_replaced(cost, 10, 1e-5) == accounting.epsilon(turned, 10, 1e-5)


def test_a_group_is_one_larger_unit_in_the_same_noise():
    group = accounting.of_group(SampledSkellam(0.1, 3.0, 100), 4)
    assert isinstance(group, SampledSkellam)
    assert group.sampling_rate == pytest.approx(1 - 0.9**4)
    assert group.noise_multiplier * group.levels == 3.0 * 100
    assert accounting.of_group(SampledSkellam(1.0, 3.0, 2**20), 10).levels == 2**20


@pytest.mark.parametrize("levels", [0, -1, 2**20 + 1, 1.5, "1", None, True, math.nan])
def test_absurd_levels_are_refused(levels):
    with pytest.raises(TermsError, match=r"found levels = .* expected a whole number"):
        SampledSkellam(0.5, 1.0, levels)


@pytest.mark.parametrize(("rate", "noise"), [(0.0, 1.0), (math.nan, 1.0), (0.5, 0.0), (0.5, math.nan), (0.5, math.inf)])
def test_other_absurd_terms_are_refused_before_any_accountant_sees_them(rate, noise):
    with pytest.raises(TermsError, match="expected"):
        SampledSkellam(rate, noise, 100)
