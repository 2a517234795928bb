"""The guide's example of a secure task is a contract that runs."""

import re
from pathlib import Path
from typing import Any

import pytest

from clients.policy import Policy
from federation.consent import Purpose
from federation.ids import PartyId
from federation.roles import Role
from federation.terms import PersonTerms
from federation.workloads import find
from server.rounds import run_task
from server.status import task_status
from server.store import TaskState
from server.tasks import read_task
from simulations.parties import Cast, agree, gather
from simulations.seeded import SeededSource

GUIDE = Path(__file__).parents[1] / "docs" / "run-a-coordinator.md"
WORKLOAD = "running_pace"
PEOPLE = {"motion-lab": 40, "wrist-archive": 30, "coach-collective": 25}
POLICY = Policy(
    purposes=(Purpose.TRAIN_MOTION_MODELS,),
    workloads=(WORKLOAD,),
    max_epsilon=10.0,
    delta=1e-4,
    max_epsilon_per_task=5.0,
    min_parties=3,
    min_people=10,
)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A federation of the guide's parties, and the guide's file."""
    path = tmp_path_factory.mktemp("guide")
    blocks = re.findall(r"```toml\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    file = path / "task.toml"
    file.write_text(next(block for block in blocks if "secure = true\n" in block and "pace-shared" in block), "utf-8")
    cast = [
        Cast(PartyId(party), Role.DATA_PROVIDER, find(WORKLOAD).invent(seed, count, 1))
        for seed, (party, count) in enumerate(PEOPLE.items())
    ]
    cast.append(Cast(PartyId("algo-works"), Role.ALGORITHM_PROVIDER))
    return gather(path, WORKLOAD, cast, POLICY, SeededSource(1)), file


def test_what_the_example_leaves_out_is_chosen(example: tuple[Any, Path]) -> None:
    federation, file = example
    contract = read_task(federation.coordinator.store, federation.coordinator.folder, file)
    terms, exchange = contract.manifest.privacy, contract.manifest.exchange
    assert isinstance(terms, PersonTerms)
    assert {member.party: member.people for member in contract.manifest.cohort} == PEOPLE | {"algo-works": 0}
    assert (exchange.up, exchange.down, terms.epsilon <= 4) == ("lane", "raw32", True)
    assert {choice.key for choice in contract.chosen} == {"up", "up_bits", "down"}


def test_the_example_runs_and_its_bytes_are_counted(example: tuple[Any, Path]) -> None:
    federation, file = example
    coordinator = federation.coordinator
    name = agree(federation, file)
    run_task(coordinator, federation.link, name)
    found = task_status(coordinator.store, name)
    assert (found["state"], found["round"]) == (TaskState.COMPLETED.value, 4)
    rows = coordinator.store.party_rounds(found["digest"])
    assert {row.kind for row in rows} == {"initialise", "train", "prepare", "unmask"}
    assert found["bytes_up"] == sum(row.bytes_up for row in rows)
    assert found["bytes_down"] == sum(row.bytes_down for row in rows)
    assert [line["bytes_up"] for line in found["history"]] == [
        sum(row.bytes_up for row in rows if row.round == number) for number in range(5)
    ]
    assert found["ratio"] < 1, "on eleven numbers masks weigh more than they would on a model"
