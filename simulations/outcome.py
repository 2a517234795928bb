"""What a simulation brought, round by round."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RoundOutcome:
    """One committed round.

    `epsilon`: spent so far per person, 0 without differential privacy. `answered`: parties in the sum. `attempts`: how
    many it took. `scores`: the workload's summary on held-out people, empty where the round was not evaluated.
    `timing`: seconds by part (``nodes``, ``coordinator``, ``evaluate``). The bytes are of all messages of the round;
    `fp32_up` and `fp32_down` are what its models and updates take in fp32 (`server.traffic`), 0: not counted.
    """

    round: int
    seconds: float
    bytes_up: int
    bytes_down: int
    epsilon: float
    answered: int
    attempts: int
    scores: Mapping[str, float]
    timing: Mapping[str, float]
    fp32_up: int = 0
    fp32_down: int = 0


@dataclass(frozen=True)
class Outcome:
    """One run. `point`: the values of the sweep. `parties`: the final model's summary on each party's own people.
    `people`: its headline figure for every held-out person. `stamp` says what may be claimed.
    """

    scenario: Mapping[str, Any]
    point: Mapping[str, Any]
    seed: int
    headline: str
    higher_is_better: bool
    rounds: tuple[RoundOutcome, ...]
    parties: Mapping[str, Mapping[str, float]]
    people: tuple[float, ...]
    weights_sha256: str
    stamp: str
    seconds: float
    peak_rss_mb: float
