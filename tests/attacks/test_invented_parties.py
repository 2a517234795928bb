"""Parties that nobody but the coordinator has heard of share no noise with people whose owner did not list them."""

from pathlib import Path

import pytest
import tomli_w

from clients import budget
from clients.node import Node
from clients.policy import Policy
from federation.consent import Purpose
from federation.ids import PartyId
from federation.roles import Role
from federation.workloads import find
from server.rounds import run_task
from simulations.parties import Cast, Federation, agree, gather, write_policy
from simulations.seeded import SeededSource

LAB, PUPPETS = PartyId("motion-lab"), tuple(PartyId(f"puppet-{number}") for number in (1, 2, 3))
WORKLOAD = "running_pace"
POLICY = Policy(
    purposes=(Purpose.TRAIN_MOTION_MODELS,),
    workloads=(WORKLOAD,),
    max_epsilon=40.0,
    delta=1e-3,
    max_epsilon_per_task=20.0,
    min_people=1,
)
TASK = {
    "name": "shared",
    "title": "Noise from parties that may not be there",
    "workload": WORKLOAD,
    "purpose": "train-motion-models",
    "rounds": 1,
    "round_deadline_s": 30.0,
    "privacy": {
        "sampling_rate": 1.0,
        "noise_multiplier": 2.0,
        "clip": 0.5,
        "rows_per_person": 4,
        "max_attempts": 5,
        "delta": 1e-3,
        "noise": "shared",
        "levels": 64,
        "colluding": 1,
    },
    "training": {"learning_rate": 0.05},
    "exchange": {"min_parties": 2, "secure": True, "up": "lane", "up_bits": 20},
    "cohort": [{"party": party, "people": 6} for party in (LAB, *PUPPETS)] + [{"party": "algo-works"}],
}


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    rows = find(WORKLOAD).invent
    cast = [Cast(party, Role.DATA_PROVIDER, rows(seed, 6, 2)) for seed, party in enumerate((LAB, *PUPPETS))]
    return gather(
        tmp_path, WORKLOAD, [*cast, Cast(PartyId("algo-works"), Role.ALGORITHM_PROVIDER)], POLICY, SeededSource(1)
    )


def listing(node: Node, parties: tuple[PartyId, ...]) -> None:
    """Let the node's owner list these of the parties that it listed so far."""
    known = node.policy().share_noise_with
    write_policy(node.folder, POLICY.model_copy(update={"share_noise_with": {name: known[name] for name in parties}}))


@pytest.mark.parametrize(("listed", "takes_part"), [((), False), (PUPPETS[:1], False), (PUPPETS[:2], True)])
def test_people_are_not_charged_for_noise_of_parties_that_their_owner_did_not_list(
    federation: Federation, tmp_path: Path, listed: tuple[PartyId, ...], takes_part: bool
) -> None:
    node, store = federation.nodes[LAB], federation.coordinator.store
    listing(node, listed)
    file = tmp_path / "task.toml"
    file.write_text(tomli_w.dumps(TASK), "utf-8")
    run_task(federation.coordinator, federation.link, agree(federation, file))
    digest = store.task("shared").digest
    assert (LAB in store.rounds(digest)[-1].parties) is takes_part
    assert bool(budget.table(node.store)) is takes_part
    if not takes_part:
        said = next(row for row in store.party_rounds(digest) if (row.kind, row.party) == ("prepare", LAB))
        assert (said.outcome, said.code) == ("refused", "policy")
