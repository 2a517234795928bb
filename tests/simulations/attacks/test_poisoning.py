"""Dishonest parties ruin an unprotected model; the bound holds them to the people that they declared."""

import numpy as np
import pytest
import torch

from federation import workloads
from server import robust
from simulations.attacks import poisoning
from simulations.attacks.poisoning import Defence, Manner
from simulations.attacks.rounds import State
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


@pytest.mark.parametrize("rule", sorted(robust.RULES))
@pytest.mark.parametrize("kind", ["sign-flip", "label-flip"])
def test_rules_withstand_the_two_of_eight_that_ruin_a_mean(ten, rule, kind):
    open_training = ten.unprotected()
    honest = scored(open_training, kind, 0).score.value
    weights = poisoning.play(open_training, Manner(kind, False), 2, SeededSource(1), Defence(rule, 2))
    assert poisoning.damage(open_training, weights).score.value > honest - 0.15


def test_cut_lengths_hold_back_a_party_that_ignores_its_clip(ten):
    longest = (5 * ten.terms.clip * 2,) * 8
    ignored = scored(ten, "sign-flip", 1).score.value
    weights = poisoning.play(ten, Manner("sign-flip", False), 1, SeededSource(1), Defence(longest=longest))
    assert poisoning.damage(ten, weights).score.value > ignored + 0.2


def test_who_hides_in_the_crowd_keeps_within_its_spread(ten):
    weights = first_weights(ten)
    sent = poisoning._sent(ten.unprotected(), Manner("crowd", False), weights, 2, SeededSource(1))
    honest = np.stack(sent[2:])
    assert (sent[0] == sent[1]).all()
    assert (np.abs(sent[0] - honest.mean(axis=0)) <= 1.6 * honest.std(axis=0) + 1e-6).all()
    assert np.linalg.norm(sent[0] - honest.mean(axis=0)) > 0


@pytest.mark.parametrize("protected", [True, False])
def test_a_rule_on_vectors_that_agree_moves_as_the_mean_does(ten, protected):
    training = ten if protected else ten.unprotected()
    weights = first_weights(training)
    size = sum(weights[name].numel() for name in training.names(weights))
    vectors = [np.full(size, 0.01, np.float32)] * 8
    expected = poisoning._moved(training, State(weights), vectors, Defence()).weights
    for rule in robust.RULES:
        found = poisoning._moved(training, State(weights), vectors, Defence(rule, 2)).weights
        for name in training.names(weights):
            torch.testing.assert_close(found[name], expected[name])
