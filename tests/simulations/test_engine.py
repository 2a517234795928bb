"""A scenario runs by the deployed rounds, and the seed decides everything."""

from typing import Any

import pytest

from federation.errors import RoundFailed, UsageError
from federation.workloads import find
from simulations import engine
from simulations.outcome import Outcome, RoundOutcome
from simulations.scenario import read_words

SMALL: dict[str, Any] = {
    "name": "small",
    "title": "A small scenario",
    "workload": "running_pace",
    "rounds": 3,
    "data": {"people": 40, "rows_per_person": 2},
    "privacy": {
        "unit": "person",
        "sampling_rate": 0.5,
        "clip": 1.0,
        "rows_per_person": 2,
        "delta": 1e-3,
        "epsilon": 8.0,
        "max_attempts": 6,
    },
    "training": {"learning_rate": 0.1},
}


def run(seed: int = 1, **changes: Any) -> Outcome:
    return engine.run(read_words({**SMALL, **changes}), seed, lambda _: None)


def test_equal_seeds_give_equal_weights_and_another_seed_gives_others() -> None:
    first, again, other = run(), run(), run(seed=2)
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert [one.scores for one in first.rounds] == [one.scores for one in again.rounds]


def test_every_round_is_seen_as_it_is_committed_with_what_it_cost() -> None:
    seen: list[RoundOutcome] = []
    outcome = engine.run(read_words(SMALL), 1, seen.append)
    assert tuple(seen) == outcome.rounds
    assert [one.round for one in seen] == [1, 2, 3]
    assert [one.answered for one in seen] == [4, 4, 4]
    assert 0 < seen[0].epsilon < seen[1].epsilon < seen[2].epsilon <= 8.0
    assert all(one.bytes_up > 0 and one.bytes_down > 0 and "mae_s_per_km" in one.scores for one in seen)
    values = sum(tensor.numel() for tensor in find("running_pace").initial(0).values())
    assert {(one.fp32_up, one.fp32_down) for one in seen} == {(4 * 4 * values, 4 * 4 * values)}


def test_a_run_says_how_every_party_and_every_judging_person_fares() -> None:
    outcome = run()
    assert set(outcome.parties) == {"party-1", "party-2", "party-3", "party-4"}
    assert len(outcome.people) == 8
    assert outcome.stamp == "simulation: no privacy claim"


def test_scores_come_as_often_as_the_scenario_says_and_after_the_last_round() -> None:
    assert [bool(one.scores) for one in run(evaluate_every=2).rounds] == [False, True, True]


def test_without_privacy_nothing_is_spent() -> None:
    assert [one.epsilon for one in run(privacy={"unit": "none"}).rounds] == [0.0, 0.0, 0.0]


def test_a_lost_answer_is_missing_from_the_sum() -> None:
    outcome = run(faults={"drop": 0.4})
    assert min(one.answered for one in outcome.rounds) < 4


def test_a_damaged_answer_is_refused_and_the_others_count() -> None:
    outcome = run(faults={"corrupt": 0.4})
    assert min(one.answered for one in outcome.rounds) < 4


def test_a_round_that_nobody_answers_is_tried_again_and_then_fails_with_the_reasons() -> None:
    with pytest.raises(RoundFailed, match="the node died"):
        run(faults={"crash": 1.0})


def test_only_a_share_of_the_parties_takes_part_in_a_round() -> None:
    assert [one.answered for one in run(participation=0.5).rounds] == [2, 2, 2]


@pytest.mark.parametrize("kind", ["sign-flip", "scale", "noise"])
def test_byzantine_parties_change_the_model_and_nothing_else(kind: str) -> None:
    honest, lied = run(), run(faults={"byzantine": 0.25, "byzantine_kind": kind})
    assert honest.weights_sha256 != lied.weights_sha256
    assert [one.answered for one in lied.rounds] == [4, 4, 4]


def test_byzantine_parties_lie_about_their_variates_too() -> None:
    plain = {"privacy": {"unit": "none"}, "training": {"learning_rate": 0.1, "scaffold": True}}
    honest, lied = run(**plain), run(**plain, faults={"byzantine": 0.25})
    assert honest.weights_sha256 != lied.weights_sha256
    assert [one.answered for one in lied.rounds] == [4, 4, 4]


def test_parties_without_people_are_refused() -> None:
    with pytest.raises(UsageError, match="would have nobody"):
        run(data={"people": 5, "rows_per_person": 2}, parties={"count": 5})
