"""A scenario that takes no time, and outcomes as they come out of longer ones."""

from collections.abc import Callable
from typing import Any

import pytest

from simulations.outcome import Outcome, RoundOutcome
from simulations.scenario import Scenario, read_words

TINY: dict[str, Any] = {
    "name": "tiny",
    "title": "As little as possible",
    "workload": "running_pace",
    "rounds": 2,
    "data": {"people": 8, "rows_per_person": 2, "held_out": 0.25},
    "parties": {"count": 2},
    "training": {"learning_rate": 0.1},
}


@pytest.fixture
def scenario() -> Callable[..., Scenario]:
    """The tiny scenario with other words at its top."""
    return lambda **changes: read_words(TINY | changes)


@pytest.fixture
def outcome() -> Callable[..., Outcome]:
    """A run of three rounds whose score rises to `final`."""

    def made(final: float = 0.9, seed: int = 1, **changes: Any) -> Outcome:
        rounds = tuple(
            RoundOutcome(
                round=number,
                seconds=1.0,
                bytes_up=2000,
                bytes_down=4000,
                epsilon=0.5 * number,
                answered=2,
                attempts=1,
                scores={"accuracy": final * number / 3} if number != 2 else {},
                timing={"nodes": 0.6, "coordinator": 0.1},
                fp32_up=20_000,
                fp32_down=40_000,
            )
            for number in (1, 2, 3)
        )
        facts: dict[str, Any] = {
            "scenario": {"name": "tiny"},
            "point": {},
            "seed": seed,
            "headline": "accuracy",
            "higher_is_better": True,
            "rounds": rounds,
            "parties": {f"party-{number}": {"people": 4.0, "accuracy": final - 0.01 * number} for number in (10, 2)},
            "people": tuple(final - 0.05 * number for number in range(20)),
            "weights_sha256": "ab" * 32,
            "stamp": "simulation: no privacy claim",
            "seconds": 3.5,
            "peak_rss_mb": 400.0,
        }
        return Outcome(**facts | changes)

    return made
