"""Everybody judges or is dealt to exactly one party."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.errors import UsageError
from federation.schema import Rows
from simulations.dealing import deal
from simulations.population import Given
from simulations.scenario import Scenario, read_words


def crowd(count: int) -> Given:
    rows = Rows({"x": torch.zeros(count), "y": torch.arange(count) % 3}, torch.arange(count))
    return Given(rows, [f"group-{person % 4}" for person in range(count)])


def scenario(data: dict[str, Any], parties: dict[str, Any]) -> Scenario:
    base = {"name": "deal", "title": "Deal", "workload": "running_pace", "rounds": 1, "training": {"learning_rate": 1}}
    return read_words({**base, "data": {"source": "runners", **data}, "parties": parties})


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(12, 60),
    parties=st.integers(1, 4),
    kind=st.sampled_from(["even", "quantity", "by-label"]),
    held_out=st.floats(0, 0.5),
    seed=st.integers(0, 1000),
)
def test_everybody_is_dealt_once(count: int, parties: int, kind: str, held_out: float, seed: int) -> None:
    dealt = deal(scenario({"held_out": held_out}, {"count": parties, "deal": kind}), crowd(count), seed)
    everybody = np.concatenate([dealt.judges, *dealt.hands.values()])
    assert sorted(everybody) == list(range(count))
    assert len(dealt.hands) == parties
    assert all(len(hand) for hand in dealt.hands.values())


def test_by_group_every_party_is_one_group_and_named_groups_judge() -> None:
    dealt = deal(scenario({"held_out_groups": ["group-3"]}, {"count": 3, "deal": "by-group"}), crowd(40), 1)
    assert set(dealt.judges % 4) == {3}
    assert sorted(set(hand % 4) for hand in dealt.hands.values()) == [{0}, {1}, {2}]


def test_by_label_people_of_like_classes_come_together() -> None:
    dealt = deal(scenario({"held_out": 0.0}, {"count": 3, "deal": "by-label"}), crowd(30), 1)
    assert [set(hand % 3) for hand in dealt.hands.values()] == [{0}, {1}, {2}]


def test_a_group_that_nobody_is_in_is_named() -> None:
    with pytest.raises(UsageError, match="held_out_groups names nowhere"):
        deal(scenario({"held_out_groups": ["nowhere"]}, {"count": 2}), crowd(20), 1)
    with pytest.raises(UsageError, match="only 3 groups have people"):
        deal(scenario({"held_out_groups": ["group-0"]}, {"count": 4, "deal": "by-group"}), crowd(20), 1)
