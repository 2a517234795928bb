"""A small federation in one process, on synthetic recordings."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from hypothesis import settings

from clients.policy import Policy
from federation.consent import Purpose
from federation.ids import PartyId
from federation.roles import Role
from federation.schema import Rows
from federation.workloads import find
from simulations.parties import Cast, Federation, agree, gather
from simulations.seeded import SeededSource

# A busy machine is no failure, and a check that fails must fail again.
settings.register_profile("paceline", deadline=None, derandomize=True)
settings.load_profile("paceline")

# A shell lets what it starts in the background ignore Ctrl-C, and so would everything that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

WORKLOAD = "running_pace"
LAB, ARCHIVE, COACH, ALGO = (PartyId(name) for name in ("motion-lab", "wrist-archive", "coach", "algo-works"))
GENEROUS = Policy(
    purposes=(Purpose.TRAIN_MOTION_MODELS,),
    workloads=(WORKLOAD,),
    max_epsilon=20.0,
    delta=1e-3,
    max_epsilon_per_task=20.0,
    min_parties=2,
    min_people=1,
    allow_unprotected=("plain",),
    allow_published_scores=True,
)
TRAINING = {"learning_rate": 0.05, "local_steps": 2, "batch_rows": 16, "public_weight": 1.0, "public_people": 4}
PRIVATE = {
    "unit": "person",
    "sampling_rate": 1.0,
    "noise_multiplier": 2.0,
    "clip": 0.5,
    "rows_per_person": 4,
    "max_attempts": 5,
    "delta": 1e-3,
}


def people(seed: int, count: int = 6) -> Rows:
    return find(WORKLOAD).invent(seed, count, 2)


LASTING = GENEROUS.model_copy(
    update={
        "max_epsilon": 100.0,
        "max_epsilon_per_task": 100.0,
        "allow_unprotected": tuple(f"task-{number}" for number in range(100)),
    }
)


def cast() -> tuple[Cast, ...]:
    return (
        Cast(LAB, Role.DATA_PROVIDER, people(1)),
        Cast(ARCHIVE, Role.DATA_PROVIDER, people(2)),
        Cast(COACH, Role.TRAINER, people(3, 2), people(4, 3)),
        Cast(ALGO, Role.ALGORITHM_PROVIDER),
    )


@pytest.fixture(scope="session")
def waiving() -> Callable[..., Policy]:
    """The policy of a node that trains in the tasks named without privacy terms."""
    return lambda *tasks: GENEROUS.model_copy(update={"allow_unprotected": tasks})


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return gather(tmp_path, WORKLOAD, cast(), GENEROUS, SeededSource(1))


@pytest.fixture(scope="module")
def lasting_federation(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """One federation for all tests of a module, each of which has a task of its own, ``task-N``."""
    return gather(tmp_path_factory.mktemp("lasting"), WORKLOAD, cast(), LASTING, SeededSource(1))


@pytest.fixture
def launch(federation: Federation, tmp_path: Path) -> Callable[..., str]:
    """Agree on a task; keyword arguments replace top-level parts of it."""

    def agreed(**changes: object) -> str:
        task = {
            "name": "private",
            "title": "A test",
            "workload": WORKLOAD,
            "purpose": "train-motion-models",
            "rounds": 3,
            "round_deadline_s": 30.0,
            "privacy": PRIVATE,
            "training": TRAINING,
            "exchange": {"min_parties": 2},
            "evaluation": {"disclosure": "published"},
            "cohort": [
                {"party": LAB, "people": 6},
                {"party": ARCHIVE, "people": 6},
                {"party": COACH, "people": 2},
                {"party": ALGO},
            ],
        } | changes
        path = tmp_path / "task.toml"
        path.write_text(tomli_w.dumps(task), "utf-8")
        return agree(federation, path)

    return agreed
