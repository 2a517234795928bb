"""Figures of the accountants against those of Opacus, dp-accounting and the literature, and terms that are refused."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy import accounting
from privacy.accounting import ORDERS, SampledGaussian
from privacy.errors import TermsError

rates = st.floats(1e-6, 1.0)
noises = st.floats(0.3, 50.0)
deltas = st.floats(1e-9, 1e-2)

# The charge and T; at δ = 1e-5: RDP, PLD, and Opacus' PRV.
MEASURED = [
    (SampledGaussian(0.01, 1.0), 1000, 2.101, 1.829, 1.838),
    (SampledGaussian(0.1, 2.0), 500, 6.034, 5.556, 5.566),
    (SampledGaussian(1.0, 10.0), 100, 4.729, 4.377, 4.387),
]
NOT_NUMBERS = [math.nan, math.inf, -math.inf, "1", None, True, 1j]


@pytest.mark.parametrize(("cost", "steps", "rdp", "pld", "prv"), MEASURED)
def test_figures_are_those_of_the_table(cost, steps, rdp, pld, prv):
    assert accounting.epsilon(cost, steps, 1e-5) == pytest.approx(rdp, abs=1e-3)
    assert accounting.epsilon_pld(cost, steps, 1e-5) == pytest.approx(pld, abs=1e-3)
    assert accounting.epsilon_pld(cost, steps, 1e-5) == pytest.approx(prv, abs=0.011)


@pytest.mark.filterwarnings("ignore:Optimal order is the largest alpha:UserWarning")
@pytest.mark.filterwarnings("ignore:divide by zero encountered in log:RuntimeWarning")  # Opacus at q = 1
@pytest.mark.parametrize(("cost", "steps", "rdp", "pld", "prv"), MEASURED)
def test_opacus_agrees(cost, steps, rdp, pld, prv):
    from opacus.accountants import PRVAccountant, RDPAccountant

    for accountant, expected in ((RDPAccountant(), rdp), (PRVAccountant(), prv)):
        accountant.history = [(cost.noise_multiplier, cost.sampling_rate, steps)]
        assert accountant.get_epsilon(delta=1e-5) == pytest.approx(expected, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(1e-3, 0.3), noise=st.floats(0.5, 20), steps=st.integers(1, 10_000))
def test_curves_agree_with_opacus_at_integer_orders(rate, noise, steps):
    from opacus.accountants.analysis.rdp import compute_rdp

    whole = [order for order in ORDERS if float(order).is_integer()]
    theirs = compute_rdp(q=rate, noise_multiplier=noise, steps=steps, orders=whole)
    ours = accounting.rdp(SampledGaussian(rate, noise), steps)[[ORDERS.index(order) for order in whole]]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9 * steps)


@settings(max_examples=25, deadline=None)
@given(rate=rates, noise=noises, steps=st.integers(1, 10_000), delta=deltas)
def test_epsilon_agrees_with_the_library(rate, noise, steps, delta):
    from dp_accounting.rdp import compute_epsilon

    curve = accounting.rdp(SampledGaussian(rate, noise), steps)
    assert accounting.epsilon_from_rdp(curve, delta) == pytest.approx(compute_epsilon(ORDERS, curve, delta)[0])


@settings(max_examples=50, deadline=None)
@given(rate=st.floats(1e-9, 1), noise=st.floats(1e-7, 1e6), steps=st.integers(0, 10**9))
def test_a_curve_is_finite_somewhere_never_negative_and_rises_with_the_order(rate, noise, steps):
    curve = accounting.rdp(SampledGaussian(rate, noise), steps)
    assert not np.isnan(curve).any()
    assert (curve >= 0).all()
    assert curve[0] < math.inf
    assert (np.diff(curve[curve < math.inf]) >= 0).all()


@settings(max_examples=25, deadline=None)
@given(rate=rates, noise=noises, steps=st.integers(1, 1000), delta=deltas)
def test_epsilon_rises_with_charges_and_rate_and_falls_with_noise(rate, noise, steps, delta):
    here = accounting.epsilon(SampledGaussian(rate, noise), steps, delta)
    assert accounting.epsilon(SampledGaussian(rate, noise), steps + 7, delta) >= here
    assert accounting.epsilon(SampledGaussian(rate, noise * 1.5), steps, delta) <= here * (1 + 1e-9)
    assert accounting.epsilon(SampledGaussian(rate * 0.7, noise), steps, delta) <= here * (1 + 1e-9)
    assert accounting.epsilon(SampledGaussian(rate, noise), steps, delta / 2) >= here


def test_pld_is_tighter_than_rdp_and_zero_charges_cost_nothing():
    for rate, noise, steps in itertools.product((0.01, 0.5, 1.0), (0.7, 3.0), (1, 30)):
        cost = SampledGaussian(rate, noise)
        assert 0 < accounting.epsilon_pld(cost, steps, 1e-5) <= accounting.epsilon(cost, steps, 1e-5)
    assert accounting.epsilon(cost, 0, 1e-5) == accounting.epsilon_pld(cost, 0, 1e-5) == 0


def test_pld_of_terms_without_privacy_comes_back_at_once():
    cost = SampledGaussian(0.5, 0.01)
    assert accounting.epsilon_pld(cost, 100_000, 1e-5) == accounting.epsilon(cost, 100_000, 1e-5) > 200


def test_restarts_do_not_start_a_fresh_accountant():
    cost = SampledGaussian(0.01, 1.0)
    ten_runs = np.sum([accounting.rdp(cost, 1000) for _ in range(10)], axis=0)
    np.testing.assert_allclose(ten_runs, accounting.rdp(cost, 10_000))
    assert accounting.epsilon_from_rdp(ten_runs, 1e-5) > 3 * accounting.epsilon(cost, 1000, 1e-5)
    assert accounting.epsilon_pld(cost, 10_000, 1e-5) == pytest.approx(6.19, abs=0.01)


def test_asking_changes_no_later_answer():
    cost = SampledGaussian(0.1, 2.0)
    before = accounting.rdp(cost, 3)
    before += 5.0
    assert accounting.epsilon(cost, 500, 1e-5) == pytest.approx(6.0346, abs=1e-3)
    assert (accounting.rdp(cost, 3) < before).all()


def test_curves_of_different_terms_add_up():
    first, second = SampledGaussian(0.1, 2.0), SampledGaussian(1.0, 8.0)
    both = accounting.epsilon_from_rdp(accounting.rdp(first, 10) + accounting.rdp(second, 5), 1e-5)
    alone = accounting.epsilon(first, 10, 1e-5), accounting.epsilon(second, 5, 1e-5)
    assert max(alone) < both < sum(alone)


@pytest.mark.filterwarnings("ignore:GDP accounting is experimental:UserWarning")
def test_gdp_under_reports_which_is_why_it_is_absent():
    from opacus.accountants import GaussianAccountant

    accountant = GaussianAccountant()
    accountant.history = [(1.0, 0.01, 1000)]
    assert accountant.get_epsilon(1e-5) < 0.9 * accounting.epsilon_pld(SampledGaussian(0.01, 1.0), 1000, 1e-5)
    assert not [name for name in dir(accounting) if "gdp" in name.lower()]


@pytest.mark.parametrize("rate", [*NOT_NUMBERS, 0.0, -0.1, 1.0000001, 1e-12])
def test_absurd_sampling_rate_is_refused_before_any_accountant_sees_it(rate):
    with pytest.raises(TermsError, match=r"sampling rate q = .* expected a probability"):
        SampledGaussian(rate, 1.0)


@pytest.mark.parametrize("noise", [*NOT_NUMBERS, 0.0, -1.0, 1e-8, 1e7])
def test_absurd_noise_is_refused_before_any_accountant_sees_it(noise):
    with pytest.raises(TermsError, match=r"noise multiplier σ = .* expected a number"):
        SampledGaussian(0.5, noise)


@pytest.mark.parametrize("steps", [*NOT_NUMBERS, -1, 1.5, 10**9 + 1])
def test_absurd_number_of_charges_is_refused(steps):
    with pytest.raises(TermsError, match="expected a whole number from 0"):
        accounting.rdp(SampledGaussian(0.5, 1.0), steps)


@pytest.mark.parametrize("delta", [*NOT_NUMBERS, 0, 1, 0.0, 1.0, -1e-5, 2])
def test_absurd_delta_is_refused(delta):
    for calculator in (accounting.epsilon, accounting.epsilon_pld, accounting.epsilon_replaced):
        with pytest.raises(TermsError, match=r"δ = .* expected a number between 0 and 1"):
            calculator(SampledGaussian(0.5, 1.0), 3, delta)


@pytest.mark.parametrize("curve", [np.zeros(3), np.full(len(ORDERS), math.nan), np.full(len(ORDERS), -1e-3)])
def test_a_damaged_curve_is_refused(curve):
    with pytest.raises(TermsError, match="RDP curve"):
        accounting.epsilon_from_rdp(curve, 1e-5)


@settings(max_examples=5, deadline=None)
@given(target=st.floats(0.1, 50), rate=st.floats(0.01, 1), steps=st.integers(1, 200))
def test_noise_for_is_the_smallest_noise_within_the_budget(target, rate, steps):
    noise = accounting.noise_for(target, rate, steps, 1e-5)
    assert accounting.epsilon(SampledGaussian(rate, noise), steps, 1e-5) <= target
    assert accounting.epsilon(SampledGaussian(rate, noise - 1e-4), steps, 1e-5) > target
    assert noise == round(noise, 4)


def test_noise_for_refuses_what_no_noise_can_do():
    with pytest.raises(TermsError, match=r"no noise up to σ = 1e\+06 .* Ask for a larger ε, or for fewer rounds"):
        accounting.noise_for(1e-5, 1.0, 10**9, 1e-9)


@pytest.mark.parametrize("target", [*NOT_NUMBERS, 0.0, -1.0])
def test_noise_for_refuses_an_absurd_epsilon(target):
    with pytest.raises(TermsError, match="expected a positive finite number"):
        accounting.noise_for(target, 0.5, 10, 1e-5)


def test_a_group_costs_more_than_its_members_and_a_group_of_one_the_same():
    row = SampledGaussian(0.01, 2.0)
    assert accounting.of_group(row, 1).sampling_rate == pytest.approx(0.01)
    assert accounting.of_group(SampledGaussian(1.0, 2.0), 4) == SampledGaussian(1.0, 0.5)
    costs = [accounting.epsilon(accounting.of_group(row, size), 100, 1e-5) for size in (1, 2, 5, 10)]
    assert costs == sorted(costs)
    assert costs[-1] > 10 * costs[0]
    for size in (0, -1, 1.5, True):
        with pytest.raises(TermsError, match="expected a whole number"):
            accounting.of_group(row, size)


def test_hiding_what_someone_gave_costs_more_than_hiding_that_they_took_part():
    assert accounting.epsilon_replaced(SampledGaussian(0.01, 1.0), 1000, 1e-5) == pytest.approx(2.844, abs=1e-3)
    cost = SampledGaussian(1.0, 10.0)
    assert accounting.epsilon_replaced(cost, 100, 1e-5) > 2 * accounting.epsilon_pld(cost, 100, 1e-5)


def test_importing_the_calculators_is_cheap():
    heavy = "{'torch', 'opacus', 'scipy', 'dp_accounting'}"
    script = f"import sys, privacy.accounting, privacy.statement; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_libraries_stay_silent_about_orders_that_they_leave_out(capfd, caplog):
    accounting._curve.cache_clear()
    accounting.epsilon(SampledGaussian(0.5, 0.3), 10, 1e-5)
    assert (caplog.text, capfd.readouterr()) == ("", ("", ""))


@pytest.mark.parametrize("noise_multiplier", [0.5, 1.0, 12.1362, 300.0])
def test_without_sampling_the_curve_is_the_one_of_dp_accounting(noise_multiplier: float) -> None:
    from dp_accounting.dp_event import GaussianDpEvent
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant(list(accounting.ORDERS))
    accountant.compose(GaussianDpEvent(noise_multiplier))
    curve = accounting.rdp(accounting.SampledGaussian(1.0, noise_multiplier), 1)
    assert curve == pytest.approx(np.asarray(accountant._rdp))
