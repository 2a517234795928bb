"""What a view in few bits costs: little accuracy, few bytes, whoever is there."""

from collections.abc import Callable
from typing import Any

import pytest

from federation.ids import PartyId
from server.coordinator import Model, run_of
from server.questions import pose
from simulations import engine
from simulations.outcome import Outcome
from simulations.parties import Federation
from simulations.scenario import Scenario, read_words
from simulations.weather import Weather

LEARNS: dict[str, Any] = {
    "name": "learns",
    "title": "Parties with unlike people",
    "workload": "exercise_recognition",
    "rounds": 6,
    "data": {"people": 24, "rows_per_person": 8, "held_out": 0.25},
    "parties": {"count": 4},
    "training": {"learning_rate": 0.1, "local_epochs": 2},
}
VALUES = 14_119


def outcome(**changes: Any) -> Outcome:
    return engine.run(read_words(LEARNS | changes), 1, lambda _: None)


@pytest.fixture(scope="module")
def plain() -> Outcome:
    return outcome()


def score(found: Outcome) -> float:
    return found.rounds[-1].scores[found.headline]


def test_half_a_bit_per_value_learns_as_much_as_32(plain: Outcome) -> None:
    shared = outcome(exchange={"down": "ecq", "down_bits": 0.5})
    assert score(plain) > 0.5
    assert score(shared) > score(plain) - 0.03
    first, *later = (done.bytes_down for done in shared.rounds)
    assert first > 4 * 4 * VALUES
    assert max(later) < 4 * (0.5 * VALUES / 8 + 1000)


def test_parties_that_come_and_go_are_sent_what_they_missed() -> None:
    """One of four in each round: each whole model is somebody's first."""
    shared = outcome(exchange={"down": "ecq", "down_bits": 0.5}, participation=0.25, rounds=10)
    whole = sum(done.bytes_down // (4 * VALUES) for done in shared.rounds)
    assert whole == 4
    assert sum(done.bytes_down for done in shared.rounds) < 4 * 4 * VALUES + 10 * (4 * 0.5 * VALUES / 8 + 1000)


def test_a_task_of_several_phases_has_one_view(scenario: Callable[..., Scenario]) -> None:
    words = {"workload": "motion_gan", "exchange": {"down": "ecq", "down_bits": 2.0}, "rounds": 4}
    training = {"learning_rate": 0.1, "phases": ["discriminator", "generator"], "public_people": 4}
    found = engine.run(scenario(**words, training=training), 1, lambda _: None)
    assert [done.answered for done in found.rounds] == [2, 1, 2, 1]


def test_asking_some_again_takes_no_turn(
    federation: Federation, launch: Callable[..., str], scenario: Callable[..., Scenario]
) -> None:
    coordinator = federation.coordinator
    run = run_of(coordinator.store.task(launch()).manifest())
    link = Weather(federation.link, federation.nodes, scenario(), 1, run)
    posed = pose(coordinator, run, "train", Model(0, run.workload.initial(0)), 1)
    for _ in range(2):
        list(link.ask({PartyId("motion-lab"): posed.blob}, 30.0))
    assert (link.turn, link.charged) == (1, 1)
