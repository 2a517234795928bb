"""A run that would not fit into memory is refused before it begins."""

from typing import Any

import pytest

from federation.errors import UsageError
from simulations.foresight import require_memory
from simulations.scenario import Scenario, read_words

GIB = 2**30


def scenario(people: int, privacy: dict[str, Any]) -> Scenario:
    words = {"name": "big", "title": "Big", "workload": "exercise_recognition", "rounds": 1, "privacy": privacy}
    return read_words({**words, "data": {"people": people, "rows_per_person": 50}, "training": {"learning_rate": 0.1}})


PRIVATE = {"unit": "person", "sampling_rate": 1e-4, "clip": 1.0, "rows_per_person": 50, "delta": 1e-7, "epsilon": 8}


def test_a_million_registered_people_fit_into_two_gigabytes_if_few_are_drawn() -> None:
    require_memory(scenario(1_000_000, PRIVATE), available=int(2.5 * GIB))


def test_everybody_s_rows_at_once_do_not_fit_and_the_error_says_what_helps() -> None:
    with pytest.raises(UsageError, match=r"needs about .* GiB of memory; 24\.0 GiB are free\. Sample fewer people"):
        require_memory(scenario(1_000_000, {"unit": "none"}), available=24 * GIB)


def test_a_small_run_always_fits() -> None:
    require_memory(scenario(100, {"unit": "none"}), available=GIB)
