"""People are found in what is not protected, and not in what is."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from federation.schema import concatenate
from federation.workload import flatten
from privacy import accounting
from simulations.attacks import canaries, membership
from simulations.attacks.rounds import State, moved, play
from simulations.attacks.training import answer, first_weights, of_each, summed
from simulations.seeded import SeededSource


@pytest.fixture(scope="module")
def tried(small):
    training = small()
    return {
        name: membership.guess(one, concatenate(list(one.parties)), 10, 1, lambda _: None)
        for name, one in (("open", training.unprotected()), ("private", training))
    }


def test_people_are_found_in_unprotected_updates(tried):
    assert tried["open"]["updates"].area().low > 0.75


def test_the_release_alone_tells_less_than_the_updates(tried):
    assert tried["open"]["release"].area().value < tried["open"]["updates"].area().value


def test_people_are_not_found_in_protected_updates(tried):
    for view in ("updates", "release"):
        assert tried["private"][view].area().low < 0.55


def test_the_canaries_prove_less_than_is_stated_and_much_once_the_noise_is_forgotten(small):
    terms, source = small(epsilon=2.0).terms, SeededSource(1)
    kept = canaries.together([canaries.bet(canaries.noised(terms, source), terms, 3, 500, source) for _ in range(4)])
    broken = canaries.bet(canaries.bare(terms), terms, 3, 500, source)
    for proven in (kept.epsilon_proven, kept.epsilon_independent):
        assert proven(terms.delta) < terms.epsilon
    assert kept.epsilon_independent(terms.delta) > 0.2
    assert broken.epsilon_proven(1e-6) > terms.epsilon
    assert broken.epsilon_independent(1e-6) > terms.epsilon


def test_the_canaries_see_a_clip_that_is_forgotten(small):
    terms, source, dice = small(epsilon=2.0).terms, SeededSource(1), np.random.default_rng(0)

    def unclipped(updates):
        return updates.sum(dim=0).double().numpy() + dice.normal(0, terms.noise_multiplier * terms.clip, 500)

    assert canaries.bet(unclipped, terms, 3, 500, source).epsilon_independent(1e-6) > terms.epsilon


def test_sampling_is_in_the_canaries_likelihood(small):
    terms, source = small().terms.model_copy(update={"sampling_rate": 0.1}), SeededSource(1)
    bets = canaries.bet(canaries.noised(terms, source), terms, 3, 500, source)
    assert np.isfinite(bets.scores).all()
    assert bets.scores.max() < 3 * (math.log(0.1) + 20 / terms.noise_multiplier**2)


def test_a_round_moves_the_weights_as_the_server_does(small):
    """With one person per party and one step, the sum over people is the sum over parties, by hand."""
    training = small(people=4, parties=2)
    weights, names = first_weights(training), ("head.bias", "head.weight")
    vectors = [np.ones(112, np.float32), 3 * np.ones(112, np.float32)]
    one, all_but_one = training.parties[0].of(training.people()[:1]), training.workload.invent(1, 3, 7)
    ends = [
        moved(played, State(weights), vectors, [one, all_but_one]).weights
        for played in (training, training.unprotected())
    ]
    private, plain = (flatten(end, names) - flatten(weights, names) for end in ends)
    np.testing.assert_allclose(private, 4 / 4, atol=1e-6)
    np.testing.assert_allclose(plain, (7 * 1 + 21 * 3) / 28, atol=1e-6)


def test_a_party_sends_the_clipped_sum_of_its_people(small):
    training = small(people=3)
    training = replace(training, terms=training.terms.model_copy(update={"clip": 0.05}))
    weights, rows = first_weights(training), training.parties[0]
    own = of_each(training, weights, rows)
    total = summed(training, weights, rows, SeededSource(1)).vector
    np.testing.assert_allclose(np.linalg.norm(own, axis=1), 0.05)
    assert np.corrcoef(total, own.sum(axis=0))[0, 1] > 0.85, "rows are turned by other angles, that is all"


def test_under_units_of_a_row_a_person_is_the_clipped_sum_of_their_rows(small):
    training = small(people=3)
    terms = training.terms.model_copy(update={"clip": 0.05, "unit": "record"})
    training = replace(training, terms=terms)
    weights, rows = first_weights(training), training.parties[0]
    own = of_each(training, weights, rows)
    assert own.shape == (3, 112)
    assert (np.linalg.norm(own, axis=1) > 0.05 * 1.5).all(), "seven rows, each clipped by itself"
    total = summed(training, weights, rows, SeededSource(1)).vector
    assert np.corrcoef(total, own.sum(axis=0))[0, 1] > 0.85
    few = replace(training, terms=terms.model_copy(update={"rows_per_person": 2}))
    assert np.linalg.norm(summed(few, weights, rows, SeededSource(1)).vector) <= 3 * 2 * 0.05


def test_canaries_of_several_rows_prove_more_than_one_row_is_promised_and_no_more_than_a_person_is(small):
    one = small(rounds=1).terms.model_copy(update={"noise_multiplier": 4.0, "rows_per_person": 3})
    rows, source = one.model_copy(update={"unit": "record"}), SeededSource(1)
    bets = canaries.together([canaries.bet(canaries.noised(rows, source), rows, 1, 500, source) for _ in range(20)])
    proven = bets.epsilon_independent(one.delta)
    assert accounting.epsilon(one.person_cost(), 1, one.delta) < proven
    assert proven <= accounting.epsilon(rows.person_cost(), 1, one.delta)


def test_shared_noise_shows_one_vector_for_all_parties(small):
    training = replace(small(people=6, parties=3), shared_noise=True)
    seen, _ = play(training, torch.zeros(0, dtype=torch.int64), SeededSource(1))
    assert [len(one.vectors) for one in seen] == [1, 1, 1]
    assert [len(one.vectors) for one in play(training.unprotected(), torch.tensor([0]), SeededSource(1))[0]] == [3] * 3


def test_equal_seeds_give_equal_answers(small):
    training = small(people=3)
    weights = first_weights(training)
    first, second = (answer(training, weights, training.parties[0], SeededSource(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
