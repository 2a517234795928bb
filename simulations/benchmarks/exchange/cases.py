"""Who learns with fewer bits, and which ways to exchange are compared."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FOLDS = 5
DRAWN_AGAIN = 3
"""So many folds are run twice in cases that say so."""


@dataclass(frozen=True)
class Case:
    """One way to exchange; `goal`: the compression that was promised at most half a point of accuracy for.

    `again`: some folds are run a second time, with other batches and roundings.
    """

    name: str
    exchange: Mapping[str, Any]
    goal: str = ""
    again: bool = False

    def draws(self, fold: int) -> int:
        """How often a fold is run."""
        return 2 if self.again and fold < DRAWN_AGAIN else 1


PLAIN = Case("raw32, both ways", {"up": "raw32", "down": "raw32"}, again=True)
CASES = (
    PLAIN,
    Case("int8_block up", {"up": "int8_block"}),
    Case("urq 0.5 up", {"up": "urq", "up_bits": 0.5}, "64 × up, n ≤ 5"),
    Case("urq 0.1 up", {"up": "urq", "up_bits": 0.1}, "320 × up, n ≥ 16"),
    Case("urq 0.05 up", {"up": "urq", "up_bits": 0.05}, "640 × up, n ≥ 16"),
    Case("ecq 0.5 down", {"down": "ecq", "down_bits": 0.5}),
    Case(
        "urq 0.25 up, ecq 0.5 down",
        {"up": "urq", "up_bits": 0.25, "down": "ecq", "down_bits": 0.5},
        "85 × both",
        again=True,
    ),
    Case("urq 0.05 up, ecq 0.5 down", {"up": "urq", "up_bits": 0.05, "down": "ecq", "down_bits": 0.5}, "100 × both"),
    Case("lanes of 8 bits, secure", {"up": "lane", "up_bits": 8, "secure": True, "clip": 4.0}),
)


@dataclass(frozen=True)
class Setting:
    """People and how they learn; `held_out`: who judges in each fold, named by the data's own groups."""

    name: str
    words: Mapping[str, Any]
    held_out: tuple[tuple[str, ...], ...] = ()

    def scenario(self, case: Case, fold: int) -> dict[str, Any]:
        """The scenario of one run, as words."""
        words: dict[str, Any] = json.loads(json.dumps(self.words)) | {"exchange": dict(case.exchange)}
        if self.held_out:
            words["data"]["held_out_groups"] = list(self.held_out[fold])
        return words


def _pairs(name: str, first: int) -> tuple[tuple[str, ...], ...]:
    return tuple((f"{name}-{first + 2 * fold:02d}", f"{name}-{first + 2 * fold + 1:02d}") for fold in range(FOLDS))


COMMON = {"format": "paceline-scenario-1", "title": "Learning with fewer bits", "seeds": [1]}
TRAINING = {"local_epochs": 2, "learning_rate": 0.1}
SETTINGS = (
    Setting(
        "watch",
        COMMON
        | {
            "name": "watch",
            "workload": "exercise_recognition",
            "rounds": 20,
            "data": {"source": "watch"},
            "parties": {"count": 8, "deal": "by-group"},
            "training": TRAINING,
        },
        _pairs("watch", 1),
    ),
    Setting(
        "walkers",
        COMMON
        | {
            "name": "walkers",
            "workload": "activity_recognition",
            "rounds": 30,
            "data": {"source": "walkers"},
            "parties": {"count": 10, "deal": "by-group"},
            "training": TRAINING,
        },
        _pairs("walker", 1),
    ),
    Setting(
        "invented, 16 parties",
        COMMON
        | {
            "name": "invented",
            "workload": "exercise_recognition",
            "rounds": 20,
            "data": {
                "source": "invented",
                "people": 80,
                "rows_per_person": 12,
                "held_out": 0.2,
                "label_skew": 0.5,
                "rotation_deg": 20.0,
            },
            "parties": {"count": 16},
            "training": TRAINING,
        },
    ),
)
