"""The audit passes the real step and catches the classic bugs."""

import math

import numpy as np
import pytest
import torch

from privacy import accounting, audits
from privacy.accounting import SampledGaussian
from privacy.audits import Claim, audit
from privacy.errors import TermsError
from privacy.noise import add_noise, os_source
from privacy.person_level import bound

CLAIM = Claim(noise_multiplier=4.0, clip=2.0, delta=1e-5)


def real(claim):
    source = os_source()
    return lambda updates: add_noise(bound(updates, claim.clip), claim.noise_multiplier, source).vector


def broken(claim, *, clips=True, zeroes=True, deviation):
    """A step written by hand, with the bugs that its arguments say."""
    generator = np.random.default_rng(1)

    def step(updates):
        rows = updates.double().numpy()
        rows = rows[np.isfinite(rows).all(axis=1)] if zeroes else rows
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = rows * np.minimum(1, claim.clip / norms) if clips else rows
        return rows.sum(axis=0) + generator.normal(0, deviation, updates.shape[1])

    return step


def test_the_real_step_keeps_its_claim_and_the_audit_comes_near_it():
    finding = audit(real(Claim(1.0, 2.0, 1e-5)), Claim(1.0, 2.0, 1e-5), parameters=4, trials=2000)
    assert not finding.refuted
    assert finding.lower_bound > 0.3 * finding.claimed


def test_a_correct_step_written_by_hand_keeps_its_claim():
    step = broken(CLAIM, deviation=CLAIM.noise_multiplier * CLAIM.clip)
    assert not audit(step, CLAIM, parameters=4, trials=5000).refuted


def test_a_step_that_does_not_clip_is_refuted():
    finding = audit(broken(CLAIM, clips=False, deviation=8.0), CLAIM, parameters=4, trials=500)
    assert finding.refuted
    assert finding.canary in {"far beyond the clip", "overflowing"}


def test_half_the_noise_is_refuted():
    assert audit(broken(CLAIM, deviation=4.0), CLAIM, parameters=4, trials=15_000).refuted


def test_the_variance_taken_for_the_standard_deviation_is_refuted():
    deviation = math.sqrt(CLAIM.noise_multiplier) * CLAIM.clip
    assert audit(broken(CLAIM, deviation=deviation), CLAIM, parameters=4, trials=15_000).refuted


def test_an_answer_that_is_nan_when_somebody_takes_part_is_refuted():
    finding = audit(broken(CLAIM, zeroes=False, deviation=8.0), CLAIM, parameters=4, trials=500)
    assert finding.refuted
    assert finding.canary == "NaN"


def test_forgotten_noise_is_refuted():
    assert audit(broken(CLAIM, deviation=0.0), CLAIM, parameters=4, trials=200).refuted


def test_the_bound_never_passes_the_truth_by_chance():
    rows = np.random.default_rng(3)
    for distance in (0.0, 0.5, 2.0):
        lower = audits._distance(rows.normal(distance, 1, 4000), rows.normal(0, 1, 4000), 1e-6)
        assert distance - 0.6 < lower <= distance


@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0, 20.0])
def test_the_exact_figure_of_one_step_agrees_with_the_accountant(sigma):
    reported = accounting.epsilon_pld(SampledGaussian(1.0, sigma), 1, 1e-5)
    assert Claim(sigma, 1.0, 1e-5).epsilon() == pytest.approx(reported, abs=2e-3)


def test_what_cannot_be_told_apart_has_epsilon_zero():
    assert audits.gaussian_epsilon(0.0, 1e-5) == audits.gaussian_epsilon(1e-9, 1e-5) == 0
    assert audits.gaussian_epsilon(math.inf, 1e-5) == 1e6


@pytest.mark.parametrize("trials", [0, 99, 1_000_001])
def test_an_audit_needs_enough_trials(trials):
    with pytest.raises(TermsError, match="expected 100 to"):
        audit(lambda updates: updates.sum(dim=0).numpy(), CLAIM, 4, trials)


def test_canaries_are_the_worst_that_can_be_handed_over():
    rows = audits.canaries(3, 2.0)
    assert float(torch.linalg.vector_norm(rows["at the clip"])) == 2.0
    assert not torch.isfinite(rows["NaN"]).all()
