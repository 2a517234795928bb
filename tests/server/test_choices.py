"""What a task file leaves out of its exchange is chosen, with a reason; what it says is never changed."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation import quorum
from federation.codecs import lane
from federation.errors import TermsError
from federation.manifest import NOISE_REACH
from federation.terms import PersonTerms, TrainingTerms, Unprotected, Ways
from privacy.accounting import charge, epsilon
from server.choices import ROUNDING, Setting, choices

SECURE = {"min_parties": 3, "secure": True}
OPEN = Setting(10, 20, 100, 84_000, 84_000, Unprotected(unit="none"), TrainingTerms(learning_rate=0.1))


def person(noise_multiplier: float = 2.0, levels: int = 0, **words: Any) -> PersonTerms:
    spent = epsilon(charge(1.0, noise_multiplier, levels), 3, 1e-3)
    shared = {"noise": "shared", "levels": levels} if levels else {}
    return PersonTerms(
        sampling_rate=1.0,
        noise_multiplier=noise_multiplier,
        clip=0.5,
        rows_per_person=4,
        max_attempts=3,
        delta=1e-3,
        epsilon=math.ceil(spent * 1e4) / 1e4,
        **shared,
        **words,
    )


def chosen(setting: Setting, **written: Any) -> dict[str, Any]:
    found = choices(written, setting)
    assert all(choice.why for choice in found)
    assert not {choice.key for choice in found} & written.keys()
    Ways.model_validate({key: value for key, value in written.items() if key != "min_parties"} | _values(found))
    return _values(found)


def _values(found: Any) -> dict[str, Any]:
    return {choice.key: choice.value for choice in found}


@pytest.mark.parametrize(("parties", "bits"), [(1, 0.5), (5, 0.5), (6, 0.25), (15, 0.25), (16, 0.1), (100, 0.1)])
def test_the_more_parties_average_the_fewer_bits(parties: int, bits: float) -> None:
    both = {"up": "urq", "up_bits": bits, "down": "ecq", "down_bits": 0.5}
    assert chosen(replace(OPEN, parties=parties)) == both


def test_noise_of_a_node_is_coded_in_two_bits_however_many_there_are() -> None:
    assert chosen(replace(OPEN, parties=50, privacy=person()))["up_bits"] == 2


@pytest.mark.parametrize("rule", [{"aggregation": "median"}, {"norm_limit": 1.0}])
def test_updates_that_are_looked_at_by_themselves_keep_two_bits(rule: dict[str, Any]) -> None:
    assert chosen(replace(OPEN, training=TrainingTerms(learning_rate=0.1, **rule)))["up_bits"] == 2


@pytest.mark.parametrize(
    "change",
    [
        {"update": 1_999},
        {"training": TrainingTerms(learning_rate=0.1, scaffold=True)},
        {"training": TrainingTerms(learning_rate=0.1, phases=("one", "other"))},
    ],
)
def test_what_a_code_would_not_serve_travels_as_it_is(change: dict[str, Any]) -> None:
    found = chosen(replace(OPEN, **change))
    assert found["up"] == "raw32"
    assert "up_bits" not in found


def test_small_models_and_control_variates_travel_down_as_they_are() -> None:
    assert chosen(replace(OPEN, model=19_999))["down"] == "raw32"
    assert chosen(replace(OPEN, training=TrainingTerms(learning_rate=0.1, scaffold=True)))["down"] == "raw32"


def test_what_the_operator_wrote_stays_and_is_completed() -> None:
    assert chosen(OPEN, up="raw32", down="raw32") == {}
    assert chosen(OPEN, up="urq", down="ecq") == {"up_bits": 0.25, "down_bits": 0.5}
    assert chosen(OPEN, up_bits=1.0, down_bits=2.0) == {"up": "urq", "down": "ecq"}
    assert chosen(OPEN, up="raw16", secure=False, down="raw16") == {}
    assert chosen(OPEN, up="lane", clip=1.0, up_bits=8, down="raw32") == {"secure": True}


def test_shared_noise_is_summed_under_masks_without_a_clip() -> None:
    found = chosen(replace(OPEN, parties=5, update=112, weight=10, privacy=person(1.4, levels=28, colluding=1)))
    assert (found["secure"], found["up"]) == (True, "lane")
    assert "clip" not in found


@given(
    parties=st.integers(3, 40),
    weight=st.floats(1, 1e3),
    update=st.integers(100, 3_000),
    levels=st.integers(130, 2_000),
)
def test_lanes_of_shared_noise_are_the_narrowest_that_hold_it(
    parties: int, weight: float, update: int, levels: int
) -> None:
    terms = person(1.4, levels=levels, colluding=0)
    setting = replace(OPEN, parties=parties, weight=weight, update=update, privacy=terms)
    bits = chosen(setting, **SECURE)["up_bits"]
    noise = 1.4 * levels * math.sqrt(parties / quorum.smallest_sum(parties, 3))
    needed = NOISE_REACH * math.hypot(noise, weight * levels / math.sqrt(lane.coordinates(update)))
    assert 2 ** (bits - 2) <= needed < 2 ** (bits - 1)


@given(parties=st.integers(3, 100), update=st.integers(1, 10**6))
def test_lanes_of_a_clip_are_the_narrowest_that_round_finely(parties: int, update: int) -> None:
    bits = int(chosen(replace(OPEN, parties=parties, update=update), **SECURE, clip=3.0)["up_bits"])

    def lost(bits: int) -> float:
        return lane.coordinates(update) * lane.step(update, 1.0, parties, bits) ** 2 / 4

    assert lost(bits) <= ROUNDING < lost(bits - 1)


def test_a_sum_that_fits_no_lane_is_refused_with_what_to_change() -> None:
    setting = replace(OPEN, weight=1e6, privacy=person(1.4, levels=2**20))
    with pytest.raises(TermsError, match=r"expected at most 24. Write fewer levels"):
        choices(SECURE, setting)


def test_a_clip_that_only_the_operator_knows_is_asked_for() -> None:
    with pytest.raises(TermsError, match="clip = 10 is a beginning"):
        choices(SECURE, OPEN)


def test_the_clip_of_noise_at_the_node_is_proposed_and_holds_it() -> None:
    with pytest.raises(TermsError, match=r"Write clip = (\d+), which holds") as raised:
        choices(SECURE, replace(OPEN, privacy=person(2.0)))
    proposed = float(str(raised.value).split("Write clip = ")[1].split(",")[0])
    assert 0.5 * (20 + 2.0 * math.sqrt(84_000)) < proposed < 1.25 * 0.5 * (20 + 2.0 * math.sqrt(84_000))
