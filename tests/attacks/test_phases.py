"""Tasks whose rounds take turns: what the contract promises of each phase, and what a coordinator may not ask for."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from clients import budget
from clients.algorithm_provider import public_rows
from clients.node import Node
from clients.policy import Policy
from clients.rounds import answer
from clients.training import party_update
from federation import wire
from federation.codecs.seeds import shared_seed
from federation.consent import Purpose
from federation.errors import ManifestError, Refusal, RoundFailed
from federation.ids import PartyId, TaskDigest
from federation.messages import RefusalAnswer, TrainRequest, UpdateAnswer
from federation.roles import Role, Step
from federation.workload import flatten, trained_names
from federation.workloads import find
from privacy.accounting import epsilon
from server.coordinator import Model, from_bytes, run_of, to_bytes
from server.questions import pose
from server.rounds import run_task
from server.status import task_status
from simulations.loopback import lost
from simulations.parties import Cast, Federation, agree, gather
from simulations.seeded import SeededSource

LAB, ARCHIVE, ALGO = (PartyId(name) for name in ("motion-lab", "wrist-archive", "algo-works"))
READING, IMAGINING = "discriminator", "generator"
POLICY = Policy(
    purposes=(Purpose.TRAIN_MOTION_MODELS,),
    workloads=("motion_gan",),
    max_epsilon=20.0,
    delta=1e-3,
    max_epsilon_per_task=20.0,
    min_people=1,
    allow_unprotected=("plain",),
)
TRAINING = {"learning_rate": 0.3, "batch_rows": 16, "public_weight": 1.0, "public_people": 1}
PRIVATE = {
    "unit": "person",
    "sampling_rate": 1.0,
    "noise_multiplier": 2.0,
    "clip": 0.01,
    "rows_per_person": 2,
    "max_attempts": 3,
    "delta": 1e-3,
}
Agree = Callable[..., str]


@pytest.fixture
def pair(tmp_path: Path) -> Federation:
    """Two parties with three people each and an algorithm provider, for a workload with two phases."""
    cast = [
        Cast(party, Role.DATA_PROVIDER, find("motion_gan").invent(seed, 3, 2))
        for seed, party in ((1, LAB), (2, ARCHIVE))
    ]
    return gather(tmp_path, "motion_gan", [*cast, Cast(ALGO, Role.ALGORITHM_PROVIDER)], POLICY, SeededSource(1))


@pytest.fixture
def settled(pair: Federation, tmp_path: Path) -> Agree:
    def agreed(cohort: tuple[PartyId, ...] = (LAB, ARCHIVE, ALGO), **changes: object) -> str:
        task = {
            "name": "plain" if changes.get("privacy") == {"unit": "none"} else "turns",
            "title": "A test",
            "workload": "motion_gan",
            "purpose": "train-motion-models",
            "rounds": 4,
            "round_deadline_s": 30.0,
            "privacy": PRIVATE,
            "training": TRAINING,
            "exchange": {"min_parties": 2, "up": "raw32", "down": "raw32"},
            "cohort": [{"party": party} | ({} if party == ALGO else {"people": 3}) for party in cohort],
        } | changes
        path = tmp_path / "task.toml"
        path.write_text(tomli_w.dumps(task), "utf-8")
        return agree(pair, path)

    return agreed


def question(pair: Federation, name: str, round_number: int, **changes: object) -> bytes:
    """A training question of the coordinator about a made-up model, with `changes` that it signs like any other."""
    coordinator = pair.coordinator
    run = run_of(coordinator.store.task(name).manifest())
    posed = pose(coordinator, run, "train", Model(round_number - 1, run.workload.initial(0)), round_number)
    request, payload = wire.read_request(posed.blob, coordinator.identity.public_key, 1 << 22)
    return wire.pack(request.model_copy(update=changes), payload, coordinator.identity)


def heard(node: Node, blob: bytes) -> object:
    return wire.read_answer(answer(node, blob), node.identity.public_key, 1 << 22)[0]


def charged(node: Node, pair: Federation, name: str) -> int:
    task = TaskDigest(pair.coordinator.store.task(name).digest)
    return len(budget.charged_attempts(node.store, task, Step.TRAIN_ON_PEOPLE))


def test_phases_take_turns_and_only_those_that_read_people_are_charged(pair: Federation, settled: Agree) -> None:
    name = settled()
    run_task(pair.coordinator, pair.link, name)
    store = pair.coordinator.store
    parties = [row.parties for row in store.rounds(store.task(name).digest)[1:]]
    assert parties == [(ALGO, LAB, ARCHIVE), (ALGO,), (ALGO, LAB, ARCHIVE), (ALGO,)]
    assert [charged(pair.nodes[party], pair, name) for party in (LAB, ARCHIVE, ALGO)] == [2, 2, 0]
    assert pair.nodes[ALGO].store.activities() == ()


def test_epsilon_counts_attempts_on_people_only(pair: Federation, settled: Agree) -> None:
    name = settled()
    run_task(pair.coordinator, pair.link, name)
    status, terms = task_status(pair.coordinator.store, name), pair.coordinator.store.task(name).manifest().privacy
    assert (status["attempts"], status["max_attempts"]) == (2, 3)
    assert status["epsilon"] == pytest.approx(epsilon(terms.person_cost(), 2, terms.delta))


def test_each_phase_moves_its_own_weights_alone(pair: Federation, settled: Agree) -> None:
    name = settled(rounds=2)
    run_task(pair.coordinator, pair.link, name)
    store = pair.coordinator.store
    models = [from_bytes(row.round, store.model(row.model)).weights for row in store.rounds(store.task(name).digest)]
    moved = [
        {key.split(".")[0] for key in old if (old[key] != new[key]).any()} for old, new in itertools.pairwise(models)
    ]
    assert moved == [{"critic"}, {"generator"}]


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_the_step_of_a_phase_on_nobody_is_the_providers_whole_update(
    pair: Federation, settled: Agree, weight: float
) -> None:
    """Neither clipped nor shrunk by people who were not asked: there is nobody whom it could overrule."""
    name = settled(rounds=2, training=TRAINING | {"public_weight": weight, "local_epochs": 8})
    run_task(pair.coordinator, pair.link, name)
    store = pair.coordinator.store
    run = run_of(store.task(name).manifest())
    before, after = (from_bytes(row.round, store.model(row.model)) for row in store.rounds(run.digest)[1:])
    names = trained_names(before.weights, run.phase(2))
    nonce = store.attempts(run.digest)[-1].request
    seed = shared_seed(TrainRequest.model_validate_json(nonce).nonce) >> 33
    training = run.manifest.training
    rows = public_rows(run.workload, training)
    update = party_update(run.workload, run.phase(2), before.weights, names, rows, training, seed).numpy()
    assert np.linalg.norm(update) > PRIVATE["clip"]
    moved = flatten(after.weights, names) - flatten(before.weights, names)
    assert moved == pytest.approx(update, abs=1e-5)


def test_a_phase_on_nobody_goes_on_while_no_party_with_people_is_there(pair: Federation, settled: Agree) -> None:
    name = settled(training=TRAINING | {"phases": [IMAGINING, READING]}, rounds=2, round_deadline_s=1.0)
    pair.link.absent |= {LAB, ARCHIVE}
    with pytest.raises(RoundFailed, match="0 parties with people are connected; task turns needs 2"):
        run_task(pair.coordinator, pair.link, name)
    store = pair.coordinator.store
    assert [row.parties for row in store.rounds(store.task(name).digest)] == [(), (ALGO,)]
    assert charged(pair.nodes[LAB], pair, name) == 0


def test_a_phase_on_nobody_fails_with_words_after_two_tries_each(pair: Federation, settled: Agree) -> None:
    name = settled(rounds=2)
    pair.link.faults[ALGO] = lost
    pair.coordinator.store.commit_initial(pair.coordinator.store.task(name).digest, first(pair, name))
    with pytest.raises(RoundFailed, match=r"round 2 of task turns cannot be tried again: 0 of 2 .* of phase generator"):
        run_task(pair.coordinator, pair.link, name)
    assert charged(pair.nodes[LAB], pair, name) == 1


def first(pair: Federation, name: str) -> bytes:
    return to_bytes(Model(0, run_of(pair.coordinator.store.task(name).manifest()).workload.initial(0)))


def test_without_privacy_terms_the_phases_take_turns_too(pair: Federation, settled: Agree) -> None:
    name = settled(privacy={"unit": "none"}, rounds=2)
    run_task(pair.coordinator, pair.link, name)
    store = pair.coordinator.store
    assert [row.parties for row in store.rounds(store.task(name).digest)[1:]] == [(ALGO, LAB, ARCHIVE), (ALGO,)]


def test_more_attempts_on_people_than_were_signed_are_refused_whatever_they_are_numbered(
    pair: Federation, settled: Agree
) -> None:
    """Attempt numbers up to `max_questions` are no news to a node; it counts the charges in its own ledger."""
    name, node = settled(), pair.nodes[LAB]
    for attempt in (9, 0, 6):
        assert isinstance(heard(node, question(pair, name, 1, attempt=attempt, nonce=f"{attempt:032x}")), UpdateAnswer)
    head = budget.head(node.store)
    for attempt in (1, 10):
        refusal = heard(node, question(pair, name, 3, attempt=attempt, nonce=f"{attempt:032x}"))
        assert isinstance(refusal, RefusalAnswer)
        assert refusal.code is Refusal.POLICY
        assert (
            "charged 3 times for train-on-people, and ε was promised for no more" in node.store.audit_entries()[-1].body
        )
    assert budget.head(node.store) == head
    assert charged(node, pair, name) == 3


@pytest.mark.parametrize(
    ("round_number", "phase", "says"),
    [
        (2, IMAGINING, "reads nobody's rows; it is not for nodes with people"),
        (1, IMAGINING, "round 1 of task turns trains discriminator, not 'generator'"),
        (2, READING, "round 2 of task turns trains generator, not 'discriminator'"),
        (1, "sharpen", "round 1 of task turns trains discriminator, not 'sharpen'"),
    ],
)
def test_a_node_with_people_trains_its_own_phase_in_its_turn_only(
    pair: Federation, settled: Agree, round_number: int, phase: str, says: str
) -> None:
    name, node = settled(), pair.nodes[LAB]
    refusal = heard(node, question(pair, name, round_number, phase=phase))
    assert isinstance(refusal, RefusalAnswer)
    assert refusal.code is Refusal.POLICY
    assert says in node.store.audit_entries()[-1].body
    assert charged(node, pair, name) == 0


@pytest.mark.parametrize(
    ("cohort", "changes", "says"),
    [
        ((LAB, ARCHIVE), {}, "phase generator of motion_gan reads nobody's rows.*the cohort of task turns has none"),
        (
            (LAB, ARCHIVE, ALGO),
            {"training": TRAINING | {"phases": [IMAGINING]}},
            "no phase of task turns reads people's",
        ),
        ((LAB, ARCHIVE, ALGO), {"training": TRAINING | {"phases": ["sharpen"]}}, "no phase 'sharpen'; it has discrim"),
        ((LAB, ARCHIVE, ALGO), {"rounds": 7}, "4 of 7 rounds read people's rows and need .* not max_attempts = 3"),
    ],
)
def test_a_contract_whose_phases_cannot_be_trained_is_refused(
    settled: Agree, cohort: tuple[PartyId, ...], changes: dict[str, object], says: str
) -> None:
    with pytest.raises(ManifestError, match=says):
        settled(cohort, **changes)


def test_the_phases_of_a_contract_are_its_own_and_spelled_out(pair: Federation, settled: Agree) -> None:
    assert pair.coordinator.store.task(settled()).manifest().training.phases == (READING, IMAGINING)
    twice = settled(name="twice", training=TRAINING | {"phases": [READING, READING, IMAGINING]}, rounds=3)
    run = run_of(pair.coordinator.store.task(twice).manifest())
    assert [run.phase(number).name for number in range(1, 7)] == [READING, READING, IMAGINING] * 2
