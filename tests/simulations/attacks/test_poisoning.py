"""Dishonest parties ruin an unprotected model; the bound holds them to the people that they declared."""

import numpy as np
import pytest
import torch

from federation import workloads
from simulations.attacks import poisoning
from simulations.attacks.poisoning import Manner
from simulations.attacks.training import first_weights
from simulations.seeded import SeededSource


@pytest.fixture(scope="module")
def ten(small):
    """Eight parties of five people each, who learn from nothing."""
    training = small(people=40, parties=8, rounds=4, epsilon=20.0)
    local = training.local.model_copy(update={"pretrain_epochs": 0, "learning_rate": 0.5})
    return type(training)(**{**vars(training), "local": local})


def scored(training, kind, bad, bounded=False):
    loud = poisoning.QUIETER if kind == "backdoor" else poisoning.LOUD
    weights = poisoning.play(training, Manner(kind, bounded, loud), bad, SeededSource(1))
    return poisoning.damage(training, weights)


@pytest.mark.parametrize("kind", ["sign-flip", "label-flip"])
def test_two_of_eight_parties_ruin_an_unprotected_model(ten, kind):
    honest, poisoned = (scored(ten.unprotected(), kind, bad).score for bad in (0, 2))
    assert honest.low > 0.6
    assert poisoned.high < honest.low - 0.2


def test_within_the_bound_they_do_far_less(ten):
    honest, bounded, ignored = (
        scored(ten, "sign-flip", bad, bound).score.value for bad, bound in ((0, True), (2, True), (2, False))
    )
    assert honest - bounded < 0.5 * (honest - ignored)


def test_a_backdoor_gets_in_where_nobody_bounds_it(ten):
    assert scored(ten.unprotected(), "backdoor", 0).backdoor.value < 0.4
    assert scored(ten.unprotected(), "backdoor", 2).backdoor.low > 0.6


def test_a_bounded_vector_is_no_longer_than_its_people_allow(ten):
    weights, source = first_weights(ten), SeededSource(1)
    for kind in poisoning.KINDS:
        vector = poisoning._attack(ten, Manner(kind, True), weights, ten.parties[0], source)
        assert np.linalg.norm(vector) <= 5 * ten.terms.clip * (1 + 1e-5)


def test_poisoned_rows_are_what_they_say():
    workload = workloads.find("exercise_recognition")
    rows = workload.invent(1, 2, 7)
    assert torch.equal(poisoning.poisoned(workload, rows, "label-flip").fields["y"], 6 - rows.fields["y"])
    door = poisoning.poisoned(workload, rows, "backdoor")
    assert len(door) == 2 * len(rows)
    assert not door.fields["y"][len(rows) :].any()
    assert not torch.equal(door.fields["x"][len(rows) :], rows.fields["x"])
    assert poisoning.poisoned(workload, rows, "scale") is rows


def test_numbers_are_mirrored_and_have_no_backdoor():
    workload = workloads.find("running_pace")
    rows = workload.invent(1, 3, 1)
    flipped = poisoning.poisoned(workload, rows, "label-flip").fields["y"]
    torch.testing.assert_close(flipped + rows.fields["y"], torch.full((3,), 1320.0))
    assert not poisoning.has_trigger(workload)
