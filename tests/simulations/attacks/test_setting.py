"""What is attacked is what the scenario trains."""

import pytest
import torch

from federation.errors import UsageError
from federation.terms import PersonTerms
from simulations import engine
from simulations.attacks.rounds import play
from simulations.attacks.setting import setting
from simulations.scenario import read_words
from simulations.seeded import SeededSource

RUNNERS = {
    "name": "few-runners",
    "title": "A few runners",
    "workload": "running_pace",
    "rounds": 4,
    "data": {"people": 24, "rows_per_person": 2, "held_out": 0.25},
    "parties": {"count": 3, "deal": "quantity"},
    "training": {"learning_rate": 0.3, "batch_rows": 1000, "public_weight": 2.0, "public_people": 5},
}
PRIVATE = {
    "unit": "person",
    "epsilon": 8.0,
    "delta": 1e-2,
    "sampling_rate": 0.5,
    "clip": 0.5,
    "rows_per_person": 2,
}


KINDS = {
    "FedAvg": {},
    "FedAdam": {"server_optimizer": "adam", "server_learning_rate": 0.05},
    "FedYogi": {"server_optimizer": "yogi", "server_learning_rate": 0.05},
    "SCAFFOLD": {"scaffold": True, "local_epochs": 3},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_rounds_that_are_attacked_end_where_those_of_the_engine_end(kind):
    """One full batch per round, a loss without chance: nothing but the rounds themselves decides."""
    scenario = read_words(RUNNERS | {"training": RUNNERS["training"] | KINDS[kind]})
    outcome = engine.run(scenario, 1, lambda _: None)
    training = setting(scenario, 1).training
    _, release = play(training, torch.zeros(0, dtype=torch.int64), SeededSource(9))
    found = training.workload.summary(training.workload.scores(release, training.held_out))
    assert found == pytest.approx(dict(outcome.rounds[-1].scores), rel=1e-4)
    assert abs(outcome.rounds[0].scores["mae_s_per_km"] - found["mae_s_per_km"]) > 0.1


def test_rounds_that_take_turns_are_attacked_as_they_are():
    gan = {"workload": "motion_gan", "data": {"people": 6, "rows_per_person": 4, "held_out": 0.34}, "rounds": 3}
    gan |= {"parties": {"count": 2}, "training": {"learning_rate": 0.3, "batch_rows": 1000, "public_people": 4}}
    phases = ["discriminator", "generator"]
    scenario = read_words(RUNNERS | gan | {"training": gan["training"] | {"phases": phases}})
    outcome, training = engine.run(scenario, 1, lambda _: None), setting(scenario, 1).training
    assert (training.phase.name, training.charges) == ("discriminator", 2)
    seen, release = play(training, torch.zeros(0, dtype=torch.int64), SeededSource(9))
    assert len(seen) == 2, "the coordinator sees people's updates in two of three rounds"
    start = training.workload.initial(training.local.seed)
    moved = {name.partition(".")[0] for name in start if not torch.equal(release[name], start[name])}
    assert moved == {"critic", "generator"}
    found = training.workload.summary(training.workload.scores(release, training.held_out))
    assert found == pytest.approx(dict(outcome.rounds[-1].scores), rel=1e-3)


def test_terms_and_people_are_those_of_the_contract():
    found = setting(read_words(RUNNERS | {"privacy": PRIVATE}), 1)
    assert isinstance(found.terms, PersonTerms)
    assert found.terms == found.manifest.privacy
    assert "ε = " in found.protection()
    assert "q = 0.5" in found.protection()
    assert found.promise().most_area() < 1
    people = found.training.people()
    assert len(people) == sum(len(torch.unique(rows.person)) for rows in found.training.parties) == 18
    assert not set(people.tolist()) & set(found.training.held_out.person.tolist())
    assert setting(read_words(RUNNERS), 1).protection() == "no differential privacy"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sweep": {"rounds": [1, 2]}}, "name one point with --set"),
        ({"data": {"people": 24, "held_out": 0.0}}, "nobody is held out"),
    ],
)
def test_what_no_attack_knows_is_refused(change, said):
    with pytest.raises(UsageError, match=said):
        setting(read_words(RUNNERS | change), 1)
