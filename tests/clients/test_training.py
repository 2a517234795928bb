"""Local training: the fast path means what the plain one says, and nobody's presence changes what others send."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.training import party_update, person_updates, person_updates_plain, picked
from federation.errors import WorkloadError
from federation.schema import Rows, concatenate
from federation.terms import TrainingTerms
from federation.workload import flatten, trained_names, unflatten
from federation.workloads import exercise_recognition, running_pace
from simulations.benchmarks.simulation import models

EXERCISES, PACE = exercise_recognition.WORKLOAD, running_pace.WORKLOAD


def uneven(workload, counts) -> Rows:
    """Invented rows of people 3, 10, 17, … with so many rows each, out of order."""
    whole = workload.invent(7, len(counts), max(counts))
    parts = [whole.of(torch.tensor([person])).take(torch.arange(count)) for person, count in enumerate(counts)]
    rows = concatenate(parts)
    rows = Rows(rows.fields, 3 + 7 * rows.person)
    return rows.take(torch.randperm(len(rows), generator=torch.Generator().manual_seed(1)))


def typical(workload):
    source = torch.Generator().manual_seed(3)
    weights = {n: t + 0.1 * torch.randn(t.shape, generator=source) for n, t in workload.initial(0).items()}
    return weights, trained_names(weights, workload.phases[0])


def everyone(path, workload, rows, terms, rows_per_person=5, seed=11):
    weights, names = typical(workload)
    chunks = list(path(workload, workload.phases[0], weights, names, rows, terms, rows_per_person, seed))
    people = torch.cat([who for who, _ in chunks])
    return dict(zip(people.tolist(), torch.cat([updates for _, updates in chunks]), strict=True))


STEPS = [
    {},
    {"local_steps": 3},
    {"local_steps": 4, "step_rows": 2},
    {"local_steps": 3, "step_rows": 3, "proximal": 2.0},
]


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param, "the number of threads is left as it was"
    torch.set_num_threads(before)


@pytest.mark.parametrize("workload", [EXERCISES, PACE], ids=["exercises", "pace"])
@pytest.mark.parametrize("steps", STEPS, ids=str)
@pytest.mark.usefixtures("threads")
def test_fast_updates_agree_with_plain_ones_for_uneven_people(workload, steps):
    rows, terms = uneven(workload, [1, 5, 2, 9, 4]), TrainingTerms(learning_rate=0.1, **steps)
    fast, plain = (everyone(path, workload, rows, terms) for path in (person_updates, person_updates_plain))
    assert list(fast) == list(plain) == [3, 10, 17, 24, 31]
    for person, update in plain.items():
        assert update.norm() > 1e-3
        torch.testing.assert_close(fast[person], update, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "4."], ids=["all weights", "the last layer"])
def test_updates_of_a_loss_written_for_many_people_agree_with_plain_ones(prefix):
    workload, terms = models.workload("convolutional"), TrainingTerms(learning_rate=0.05, local_steps=3, step_rows=2)
    rows, weights, phase = uneven(workload, [1, 5, 2]), workload.initial(0), workload.phases[0]
    names = trained_names(weights, phase, [prefix])
    used = []

    def together(*values):
        used.append(True)
        return phase.together(*values)

    watched = replace(phase, together=together)
    fast, plain = (
        torch.cat([updates for _, updates in path(workload, watched, weights, names, rows, terms, 5, 11)])
        for path in (person_updates, person_updates_plain)
    )
    assert len(used) == terms.local_steps, "one pass for everybody in each step of the fast path, none in the plain one"
    assert plain.abs().max() > 1e-3
    torch.testing.assert_close(fast, plain, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("path", [person_updates, person_updates_plain])
def test_steps_read_a_persons_rows_in_turn_each_as_often(path):
    """With tiny steps, n steps of one row each change what one step of all n rows changes, n times."""
    rows = uneven(PACE, [4, 4, 4])
    whole = everyone(path, PACE, rows, TrainingTerms(learning_rate=1e-4))
    turns = everyone(path, PACE, rows, TrainingTerms(learning_rate=1e-4, local_steps=8, step_rows=1))
    for person, update in turns.items():
        torch.testing.assert_close(update / 8, whole[person], rtol=0.02, atol=1e-7)


@pytest.mark.parametrize("path", [person_updates, person_updates_plain])
def test_a_step_of_fewer_rows_than_a_person_has_reads_only_those(path):
    rows = uneven(EXERCISES, [6])
    one = everyone(path, EXERCISES, rows, TrainingTerms(learning_rate=0.1, step_rows=2), rows_per_person=6)[3]
    _, index, _ = picked(rows.person.numpy(), 6, 11)
    first = rows.take(torch.from_numpy(index[0, :2]))
    alone = everyone(path, EXERCISES, first, TrainingTerms(learning_rate=0.1), rows_per_person=6)[3]
    torch.testing.assert_close(one, alone, rtol=1e-4, atol=1e-6)


def test_proximal_term_adds_its_slope_to_every_step():
    """FedProx (Li et al. 2020, eq. 2): the second step's gradient grows by μ times what the first one moved."""
    rows, rate, pull = uneven(PACE, [4]), 0.1, 3.0
    first, plain, pulled = (
        everyone(person_updates, PACE, rows, TrainingTerms(learning_rate=rate, local_steps=steps, proximal=mu))[3]
        for steps, mu in ((1, 0.0), (2, 0.0), (2, pull))
    )
    torch.testing.assert_close(pulled, plain - rate * pull * first, rtol=1e-4, atol=1e-6)


def test_proximal_term_keeps_a_party_near_the_rounds_weights():
    rows, (weights, names) = uneven(PACE, [4] * 20), typical(PACE)
    norms = []
    for proximal in (0.0, 1.0, 10.0):
        terms = TrainingTerms(learning_rate=0.1, local_epochs=5, batch_rows=8, proximal=proximal)
        norms.append(party_update(PACE, PACE.phases[0], weights, names, rows, terms, 4).norm().item())
    assert norms[0] > 1.5 * norms[1] > 1.5 * norms[2] > 0


def test_update_of_a_person_does_not_change_when_another_leaves_or_joins():
    rows, terms = uneven(PACE, [6, 9, 7]), TrainingTerms(learning_rate=0.1, local_steps=2)
    together = everyone(person_updates, PACE, rows, terms)
    without = everyone(person_updates, PACE, rows.of(torch.tensor([3, 17])), terms)
    assert set(without) == {3, 17}
    for person, update in without.items():
        torch.testing.assert_close(together[person], update, rtol=0, atol=1e-6)


def test_padding_has_no_influence():
    """Person 3 has one row; a neighbour with many makes the chunk wide."""
    rows, terms = uneven(EXERCISES, [1, 5]), TrainingTerms(learning_rate=0.1)
    wide = everyone(person_updates, EXERCISES, rows, terms)[3]
    alone = everyone(person_updates, EXERCISES, rows.of(torch.tensor([3])), terms)[3]
    torch.testing.assert_close(wide, alone, rtol=1e-4, atol=1e-6)


def test_chunks_hold_every_person_once(monkeypatch):
    monkeypatch.setattr("clients.training.CHUNK_VALUES", 10 * 256)
    rows, terms = uneven(PACE, [5] * 7), TrainingTerms(learning_rate=0.1)
    weights, names = typical(PACE)
    chunks = list(person_updates(PACE, PACE.phases[0], weights, names, rows, terms, 5, 0))
    assert [len(who) for who, _ in chunks] == [2, 2, 2, 1]
    assert sorted(torch.cat([who for who, _ in chunks]).tolist()) == [3 + 7 * person for person in range(7)]


def test_nobody_means_no_chunk_and_no_change():
    nobody, terms = uneven(PACE, [1]).take(torch.zeros(0, dtype=torch.int64)), TrainingTerms(learning_rate=0.1)
    weights, names = typical(PACE)
    assert list(person_updates(PACE, PACE.phases[0], weights, names, nobody, terms, 5, 0)) == []
    assert not party_update(PACE, PACE.phases[0], weights, names, nobody, terms, 0).any()


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 2**31))
@settings(deadline=None, max_examples=60)
def test_picked_rows_are_own_distinct_and_as_many_as_allowed(person, rows_per_person, seed):
    owners = np.array(person, dtype=np.int64)
    people, index, real = picked(owners, rows_per_person, seed)
    assert people.tolist() == sorted(set(person))
    for who, rows, mask in zip(people, index, real, strict=True):
        assert (owners[rows] == who).all()
        assert len(set(rows[mask].tolist())) == mask.sum() == min(rows_per_person, person.count(who))


def test_picked_rows_depend_on_the_seed_and_cover_a_person_evenly():
    owners = np.zeros(10, dtype=np.int64)
    times = np.zeros(10)
    for seed in range(2000):
        times[picked(owners, 3, seed)[1]] += 1
    assert abs(times - 600).max() < 100


def test_round_weights_are_left_as_they_were_and_the_party_learns():
    rows, terms = uneven(PACE, [4] * 20), TrainingTerms(learning_rate=0.1, local_epochs=5, batch_rows=8)
    weights, names = typical(PACE)
    before = flatten(weights, names).copy()
    update = party_update(PACE, PACE.phases[0], weights, names, rows, terms, 4)
    assert (flatten(weights, names) == before).all()
    after = unflatten(before + update.numpy(), weights, names)
    error = [PACE.summary(PACE.scores(model, rows))["mae_s_per_km"] for model in (weights, after)]
    assert error[1] < 0.9 * error[0]


def test_equal_seeds_give_equal_party_updates_and_others_do_not():
    rows, terms = uneven(EXERCISES, [6, 7]), TrainingTerms(learning_rate=0.1, batch_rows=4)
    weights, names = typical(EXERCISES)
    first, again, other = (
        party_update(EXERCISES, EXERCISES.phases[0], weights, names, rows, terms, seed) for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_weights_outside_the_phase_never_become_an_update():
    rows, terms = uneven(PACE, [2]), TrainingTerms(learning_rate=0.1)
    weights, _ = typical(PACE)
    weights["secret.embedding"] = torch.ones(4)
    with pytest.raises(WorkloadError, match=r"may not send secret\.embedding; it trains head"):
        party_update(PACE, PACE.phases[0], weights, ["secret.embedding"], rows, terms, 0)
    with pytest.raises(WorkloadError, match="may not send"):
        list(person_updates(PACE, PACE.phases[0], weights, ["secret.embedding"], rows, terms, 5, 0))


def test_rows_of_one_person_that_are_not_finite_spoil_nobody_else():
    rows, terms = uneven(EXERCISES, [3, 3, 3]), TrainingTerms(learning_rate=0.1, local_steps=2)
    clean = everyone(person_updates, EXERCISES, rows, terms)
    x = torch.where((rows.person == 10)[:, None, None], torch.inf, rows.fields["x"])
    spoilt = everyone(person_updates, EXERCISES, Rows({**rows.fields, "x": x}, rows.person), terms)
    assert not torch.isfinite(spoilt[10]).all()
    for person in (3, 17):
        torch.testing.assert_close(spoilt[person], clean[person], rtol=0, atol=1e-6)
