"""Traits of parties show, protected or not, once the party is large."""

import numpy as np
import pytest
import torch

from federation import workloads
from federation.errors import UsageError
from simulations.attacks import property as attack
from simulations.attacks.property import Question
from simulations.attacks.training import first_weights
from simulations.seeded import SeededSource


def judged(training, trait, people, parties=16):
    pool, victims = (training.workload.invent(seed, 24, 14) for seed in (11, 12))
    question = Question(trait, people, 7, pool, victims)
    return attack.judge(training, [first_weights(training)], question, parties, SeededSource(1), lambda _: None)


@pytest.mark.parametrize("trait", attack.TRAITS)
def test_traits_of_unprotected_parties_are_told(small, trait):
    assert judged(small(people=4).unprotected(), trait, 12).area().low > 0.65


def test_noise_for_persons_hides_a_small_party_but_not_a_large_one(small):
    training = small(people=4, rounds=1, epsilon=2.0)
    assert judged(training, "class-share", 2, parties=30).area().low < 0.6
    assert judged(training, "class-share", 100, parties=10).area().low > 0.7


def test_a_party_with_the_trait_has_it_and_its_people_are_counted(small):
    rows = small(people=20).workload.invent(1, 20, 14)
    question, dice = Question("class-share", 50, 8, rows, rows), np.random.default_rng(0)
    for present, share in ((True, attack.WITH), (False, attack.WITHOUT)):
        party = attack._party(question, rows, present, dice)
        assert len(torch.unique(party.person)) == 50
        assert abs(float((party.fields["y"] == 0).float().mean()) - share) < 0.06


def test_turning_keeps_the_length_of_every_vector():
    x = torch.randn(4, 6, 10)
    turned = attack._turned(x, torch.tensor([True, True, False, False]))
    assert torch.equal(turned[2:], x[2:])
    for part in (slice(0, 3), slice(3, 6)):
        torch.testing.assert_close(turned[:2, part].norm(dim=1), x[:2, part].norm(dim=1))
    assert not torch.equal(turned[:2], x[:2])


def test_the_ridge_tells_what_is_linear_and_nothing_from_nothing():
    dice = np.random.default_rng(0)
    labels, truth = dice.random(80) < 0.5, dice.random(80) < 0.5
    known, asked = dice.normal(size=(80, 30)), dice.normal(size=(80, 30))
    nothing = attack.Verdicts(attack._told(known, labels, asked), truth).area()
    known[:, 0] += 3 * labels
    asked[:, 0] += 3 * truth
    assert attack.Verdicts(attack._told(known, labels, asked), truth).area().value > 0.9
    assert nothing.low < 0.5 < nothing.high


def test_traits_that_rows_cannot_have_are_refused():
    with pytest.raises(UsageError, match="no device that could be turned"):
        attack.require("turned", workloads.find("running_pace"))
    with pytest.raises(UsageError, match="expected class-share or turned"):
        attack.require("left-handed", workloads.find("running_pace"))


def test_numbers_have_a_class_too():
    rows = workloads.find("running_pace").invent(1, 200, 1)
    assert 0.1 < attack._first_class(rows.fields["y"]).mean() < 0.2
