"""People are the same whenever they are asked for, and skewed as the scenario says."""

import numpy as np
import pytest
import torch

from federation import workloads
from federation.errors import UsageError
from federation.schema import Rows, check
from simulations.population import Given, HandRows, Invented
from simulations.scenario import Data

WORKLOAD = workloads.find("exercise_recognition")


def invented(**terms: object) -> Invented:
    return Invented(WORKLOAD, Data.model_validate({"people": 50, "rows_per_person": 14, **terms}), 3)


def test_a_person_has_the_same_rows_whoever_is_asked_for_beside_them() -> None:
    alone = invented().rows(np.array([7]), 0.0)
    among = invented().rows(np.array([3, 7, 9]), 0.0)
    assert torch.equal(alone.fields["x"], among.fields["x"][among.person == 1])


def test_a_million_registered_people_cost_nothing_before_they_are_asked_for() -> None:
    crowd = invented(people=1_000_000)
    assert crowd.count == 1_000_000
    assert len(crowd.rows(np.array([999_999]), 0.0)) == 14


def test_rows_fit_the_schema_under_every_skew() -> None:
    rows = invented(label_skew=0.2, quantity_skew=1.0, rotation_deg=90, gain=0.5, drift=2.0).rows(np.arange(5), 1.0)
    check(rows, WORKLOAD.schema)


def test_label_skew_gives_each_person_few_classes() -> None:
    def classes(**terms: object) -> float:
        people = invented(**terms)
        return float(np.mean([len(people.rows(np.array([p]), 0.0).fields["y"].unique()) for p in range(10)]))

    assert classes(label_skew=0.1) < 4 < classes() == 7


def test_quantity_skew_spreads_the_rows_per_person() -> None:
    counts = [len(invented(quantity_skew=1.0).rows(np.array([person]), 0.0)) for person in range(20)]
    assert max(counts) > 3 * min(counts)


def test_a_turned_device_keeps_the_length_of_every_vector_and_turns_more_with_drift() -> None:
    still, turned, later = (
        invented(**terms).rows(np.array([4]), 1.0).fields["x"]
        for terms in ({}, {"rotation_deg": 40.0}, {"rotation_deg": 40.0, "drift": 1.0})
    )
    inside = (turned.abs() < 7.9).all(1) & (still.abs() < 7.9).all(1)
    assert torch.allclose(still[:, :3].norm(dim=1)[inside], turned[:, :3].norm(dim=1)[inside], atol=1e-4)
    assert (later - still).abs().mean() > (turned - still).abs().mean() > 0


def test_a_skew_that_the_workload_cannot_have_is_refused() -> None:
    with pytest.raises(UsageError, match="no six axes"):
        Invented(workloads.find("running_pace"), Data(rotation_deg=10), 1)
    with pytest.raises(UsageError, match="label_skew is about classes"):
        Invented(workloads.find("running_pace"), Data(label_skew=1.0), 1)
    with pytest.raises(UsageError, match="session_recommendation predicts items"):
        Invented(workloads.find("session_recommendation"), Data(label_skew=1.0), 1)


def test_given_people_are_found_by_their_place() -> None:
    rows = Rows({"x": torch.arange(6.0), "y": torch.arange(6.0)}, torch.tensor([30, 10, 30, 20, 10, 30]))
    found = Given(rows).rows(np.array([2, 0]), 0.0)
    assert found.fields["x"].tolist() == [0, 2, 5, 1, 4]
    assert found.person.tolist() == [0, 0, 0, 1, 1]


def test_a_hand_gives_rows_under_the_party_s_own_numbers() -> None:
    rows = Rows({"x": torch.arange(4.0), "y": torch.arange(4.0)}, torch.tensor([0, 1, 2, 3]))
    hand = HandRows(Given(rows), np.array([1, 3]))
    assert list(hand.people("any", False)) == [0, 1]
    assert not hand.people("any", True)
    found = hand.of("any", False, hand.people("any", False))
    assert (found.fields["x"].tolist(), found.person.tolist()) == ([1, 3], [0, 1])
