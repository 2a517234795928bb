"""Bounds that hold for every attack, and bounds that attacks prove."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm

from privacy.accounting import SampledGaussian
from simulations.attacks.measures import area, found_at, resampled, roc, share
from simulations.attacks.promises import (
    Promise,
    epsilon_from_guesses,
    epsilon_from_rates,
    most_advantage,
    most_read,
    most_true_positives,
    promised,
)

EPSILON = st.floats(0, 15)
DELTA = st.floats(0, 0.1)


@given(EPSILON, DELTA, st.floats(0, 1))
def test_no_test_may_leave_the_region_of_its_terms(epsilon, delta, false_positives):
    found = float(most_true_positives(np.array([false_positives]), epsilon, delta)[0])
    missed = 1 - found
    assert false_positives + math.exp(epsilon) * missed >= 1 - delta - 1e-6
    assert math.exp(epsilon) * false_positives + missed >= 1 - delta - 1e-6
    assert false_positives - 1e-12 <= found <= 1


@given(EPSILON, DELTA)
def test_the_advantage_is_the_widest_gap_of_the_region(epsilon, delta):
    grid = np.linspace(0, 1, 2001)
    widest = float((most_true_positives(grid, epsilon, delta) - grid).max())
    assert widest <= most_advantage(epsilon, delta) + 1e-9
    assert widest >= most_advantage(epsilon, delta) - 1e-2


def test_without_privacy_loss_every_test_is_a_coin():
    assert Promise(((0.0, 0.0),)).most_area() == pytest.approx(0.5, abs=1e-3)
    assert Promise(((0.0, 0.0),)).most_advantage() == 0


def test_the_promise_of_the_terms_lies_above_the_best_test_of_the_gaussian():
    rounds, noise = 4, 2.0
    grid = np.linspace(0.001, 0.999, 200)
    best = norm.cdf(norm.ppf(grid) + math.sqrt(rounds) / noise)
    allowed = promised(SampledGaussian(1.0, noise), rounds).most_found(grid)
    assert (allowed >= best - 1e-9).all()
    assert promised(SampledGaussian(1.0, noise), rounds).most_area() < 0.95


def test_one_guess_of_one_round_is_bounded_by_the_moved_gaussian():
    assert most_read(0.5, 1e6) == pytest.approx(0.5, abs=1e-5)
    assert most_read(1 / 64, 1.0) == pytest.approx(norm.cdf(norm.ppf(1 / 64) + 1))


@given(st.integers(10, 200), st.floats(0, 1), st.floats(1e-9, 1e-3))
def test_fast_and_plain_probability_of_lucky_guesses_agree(guesses, quality, delta):
    correct = round(guesses * quality)
    bound = epsilon_from_guesses(guesses, guesses, correct, delta)

    def luck(epsilon):  # Steinke et al. 2023, Appendix D, line by line
        right = 1 / (1 + math.exp(-epsilon))
        slack = total = 0.0
        for count in range(1, correct + 1):
            total += binom.pmf(correct - count, guesses, right)
            slack = max(slack, total / count)
        return binom.sf(correct - 1, guesses, right) + 2 * slack * delta * guesses

    assert bound == 0 or luck(bound - 1e-6) <= 0.05 + 1e-6
    assert luck(bound + 1e-3) >= 0.05 - 1e-6 or bound >= 49


def test_guesses_no_better_than_coins_prove_nothing():
    assert epsilon_from_guesses(100, 100, 50, 1e-5) == 0
    assert epsilon_from_guesses(100, 100, 0, 1e-5) == 0
    assert epsilon_from_rates(50, 100, 50, 100, 1e-5) == 0


def test_perfect_guesses_prove_more_the_more_there_are():
    few, many = (epsilon_from_guesses(count, count, count, 1e-9) for count in (50, 500))
    assert 2 < few < many < math.log(500)
    assert epsilon_from_rates(500, 500, 0, 500, 1e-9) > epsilon_from_rates(50, 50, 0, 50, 1e-9) > 2


def test_rates_bound_epsilon_by_their_worst_case():
    assert epsilon_from_rates(900, 1000, 100, 1000, 0.0) < math.log(9)
    assert epsilon_from_rates(900, 1000, 100, 1000, 0.0) > math.log(7)


def test_curves_and_areas_agree():
    dice = np.random.default_rng(0)
    present = dice.random(500) < 0.4
    scores = np.round(dice.normal(present, 1), 1)
    alarms, found = roc(scores, present)
    assert np.trapezoid(found, alarms) == pytest.approx(area(scores, present))
    assert found_at(scores, present, 1.0) == 1.0
    assert found_at(np.array([3.0, 2, 1]), np.array([True, False, True]), 0.0) == 0.5


def test_intervals_hold_the_figure_and_whole_groups_are_drawn():
    assert share(0, 20).low == 0
    assert share(0, 20).high == pytest.approx(1 - 0.025 ** (1 / 20))
    values, groups = np.repeat([0.0, 1.0, 2.0, 3.0], 50), np.repeat(np.arange(4), 50)
    alone = resampled(lambda index: values[index].mean(), np.arange(200))
    together = resampled(lambda index: values[index].mean(), groups)
    assert alone.low < 1.5 < alone.high
    assert together.high - together.low > 3 * (alone.high - alone.low)
